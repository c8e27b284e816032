"""The page in a real browser, used by mouse, by keys and by touch."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from clips import INTERLACED, make_clip
from examples import EXAMPLES
from others import program
from samples import smooth
from serving import process_of
from waiting import until

DONE_MS = 60_000
expect.set_options(timeout=DONE_MS)
CLIP = EXAMPLES[0].parent / "clips" / "pan.mp4"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with process_of(tmp_path_factory.mktemp("server")) as (_, address):
        yield address


@pytest.fixture(scope="module")
def browser():
    chromium = program("chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """Open the page; nothing may be asked of anyone else, and nothing may fail in its scripts."""
    faults, contexts = [], []

    def visit(*, width=1200, height=800, **more):
        context = browser.new_context(viewport={"width": width, "height": height}, **more)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda asked: ours(asked.url))
        page.goto(address)
        page.wait_for_selector("#models label")
        return page

    def ours(url):
        if not url.startswith((address, "blob:")):
            faults.append(url)

    yield visit
    for context in contexts:
        context.close()
    assert not faults


def picture(folder, name="photo.png", height=40, width=60):
    path = folder / name
    Image.fromarray(smooth(height, width)).save(path)
    return path


def clean(page):
    """Let axe find no fault, once all transitions have ended: it would judge colours halfway."""
    page.evaluate(
        """() => Promise.all(document.getAnimations()
            .filter(each => each instanceof CSSTransition)
            .map(each => each.finished.catch(() => null)).concat([null])).then(() => null)"""
    )
    found = Axe().run(page).response["violations"]
    assert not [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


def drop(page, *files):
    """Drop files on the page, as a browser does."""
    handle = page.evaluate_handle(
        """files => {
            const data = new DataTransfer();
            for (const [name, bytes, type] of files)
                data.items.add(new File([new Uint8Array(bytes)], name, { type }));
            return data;
        }""",
        [[Path(file).name, list(Path(file).read_bytes()), "image/png"] for file in files],
    )
    page.dispatch_event("body", "dragenter", {"dataTransfer": handle})
    expect(page.locator("#drop")).to_be_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": handle})


def done(page):
    page.wait_for_selector("#save:not([hidden])", timeout=DONE_MS)


def test_a_dropped_picture_is_made_compared_and_downloaded(visit, tmp_path):
    page = visit()
    clean(page)
    drop(page, picture(tmp_path))
    done(page)
    clean(page)
    expect(page.locator("#tag-right")).to_have_text("Default · 120 × 80")
    expect(page.locator("#handle")).to_have_attribute("aria-valuenow", "50")
    with page.expect_download() as coming:
        page.click("#save")
    with Image.open(coming.value.path()) as made:
        assert (coming.value.suggested_filename, made.size) == ("photo_120x80.png", (120, 80))
    page.keyboard.press("Delete")
    expect(page.locator("#empty")).to_be_visible()


def test_the_slider_goes_by_mouse_and_by_keys_and_zoom_goes_beyond_pixels(visit, tmp_path):
    page = visit(reduced_motion="reduce")
    page.set_input_files("#files", picture(tmp_path, height=80, width=120))
    done(page)
    box = page.locator("#viewport").bounding_box()
    middle, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(middle, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, y, steps=3)
    page.mouse.up()
    expect(page.locator("#handle")).to_have_attribute("aria-valuenow", "25")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#handle")).to_have_attribute("aria-valuenow", "27")
    page.keyboard.press("End")
    expect(page.locator("#handle")).to_have_attribute("aria-valuenow", "100")
    page.keyboard.press("1")
    expect(page.locator("#zoom")).to_have_text("100 %")
    for _ in range(12):
        page.mouse.wheel(0, -200)
    expect(page.locator("#zoom")).to_have_text("3200 %")  # the most; no later turn changes it
    expect(page.locator("#image-right")).to_have_css("image-rendering", "pixelated")
    page.focus("#viewport")
    before = page.locator("#image-right").get_attribute("style")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#image-right")).not_to_have_attribute("style", before)
    page.keyboard.press("0")
    page.keyboard.press("l")
    expect(page.locator("#lens")).to_be_visible()
    expect(page.locator("#handle")).to_be_hidden()


def test_two_models_stand_side_by_side_and_choices_are_remembered(visit, tmp_path):
    page = visit()
    page.select_option("#compare", "bicubic")
    page.check("input[name=size][value='3']")
    page.keyboard.press("s")
    page.set_input_files("#files", picture(tmp_path))
    done(page)
    expect(page.locator("#tag-left")).to_have_text("Bicubic · 180 × 120")
    expect(page.locator("#tag-right")).to_have_text("Default · 180 × 120")
    left, right = (page.locator(f"#layer-{side}").bounding_box() for side in ("left", "right"))
    assert left["x"] + left["width"] <= right["x"] + 1
    sources = page.eval_on_selector_all(
        "#layer-left img, #layer-right img", "all => all.map(each => each.src)"
    )
    assert len(set(sources)) == 2
    page.reload()
    page.wait_for_selector("#models label")
    assert page.locator("#compare").input_value() == "bicubic"
    assert page.locator("input[name=size][value='3']").is_checked()
    assert page.locator("#mode").get_attribute("aria-pressed") == "true"


def test_many_are_told_of_one_by_one_and_downloaded_in_one_file(visit, tmp_path):
    page = visit()
    names = ["a.png", "b.png", "c.png"]
    for name in names:
        picture(tmp_path, name)
    (tmp_path / "notes.txt").write_text("no picture")
    page.set_input_files("#folder", tmp_path)
    expect(page.locator("#notice")).to_contain_text("1 other file")
    expect(page.locator("#save-all")).to_contain_text("3")
    expect(page.locator("#list .name")).to_have_text(names)
    with page.expect_download() as coming:
        page.keyboard.press("a")
    with zipfile.ZipFile(coming.value.path()) as file:
        assert file.testzip() is None
        assert file.namelist() == [f"{name[0]}_120x80.png" for name in names]
        assert Image.open(io.BytesIO(file.read(file.namelist()[0]))).size == (120, 80)
    page.keyboard.press("k")
    expect(page.locator("#list li.current .name")).to_have_text("c.png")


def test_progress_is_shown_by_tile_and_a_removed_picture_is_stopped(visit, tmp_path, address):
    page = visit()
    large = picture(tmp_path, height=1400, width=1600)
    page.set_input_files("#files", large)
    expect(page.locator("#list .state")).to_contain_text("tile ")
    expect(page.locator("#busy")).to_be_visible()
    assert 0 < page.locator("#busy-bar").evaluate("bar => bar.value") < 1
    with page.expect_request(lambda asked: asked.method == "DELETE"):
        page.click("#list button[aria-label^=Remove]")
    expect(page.locator("#empty")).to_be_visible()


def test_what_goes_wrong_is_said_with_a_way_on(visit, tmp_path):
    page = visit()
    (tmp_path / "broken.png").write_bytes(b"no picture at all")
    page.set_input_files("#files", picture(tmp_path))
    done(page)
    page.set_input_files("#files", tmp_path / "broken.png")
    expect(page.locator("#failed")).to_be_visible(timeout=DONE_MS)
    for each in ("#image-left", "#image-right", "#tag-left", "#handle"):
        expect(page.locator(each)).to_be_hidden()  # nothing of the picture before
    expect(page.locator("#failed-title")).to_contain_text("broken.png")
    expect(page.locator("#failed-code")).to_have_text("Code: image-read")
    clean(page)
    page.context.set_offline(True)
    page.click("#failed-again")
    expect(page.locator("#failed-code")).to_have_text("Code: no-answer")


def test_crisp_has_a_dial(visit, tmp_path):
    page = visit()
    expect(page.locator("input[name=crisp]")).to_be_hidden()
    page.check("#models input[value=crisp]")
    page.locator("input[name=crisp]").fill("0.5")
    clean(page)
    with page.expect_request(lambda asked: "model=crisp%3A0.5" in asked.url):
        page.set_input_files("#files", picture(tmp_path))
    done(page)
    expect(page.locator("#tag-right")).to_have_text("Crisp 50 % · 120 × 80")
    page.locator("input[name=crisp]").fill("0.25")
    expect(page.locator("#again")).to_be_visible()


def test_a_clip_is_played_before_and_after(visit, tmp_path):
    pytest.importorskip("av", reason="needs the extra video")
    page = visit()
    page.check("#models input[value=fast]")
    page.set_input_files("#files", CLIP)
    expect(page.locator("#list .state")).to_contain_text("frame ")
    done(page)
    clean(page)
    expect(page.locator("#tag-right")).to_have_text("Fast · 384 × 216")
    widths = [
        page.locator(f"#video-{side}").evaluate("video => video.videoWidth")
        for side in ("left", "right")
    ]
    assert widths == [192, 384]
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    # Playwright's own waiting evaluates text later, which the page's security policy forbids.
    until(lambda: page.locator("#video-right").evaluate("video => video.currentTime") > 0.2)
    page.locator("#viewport").focus()
    page.keyboard.press(" ")
    until(lambda: page.locator("#video-right").evaluate("video => video.paused"))
    page.locator("#time").fill("500")
    for side in ("left", "right"):
        video = page.locator(f"#video-{side}")
        until(lambda video=video: abs(video.evaluate("it => it.currentTime") - 0.96) < 0.1)
    with page.expect_download() as coming:
        page.click("#save")
    assert coming.value.suggested_filename == "pan_384x216.mp4"


def test_a_clip_that_is_refused_is_offered_the_option_that_takes_it(visit, tmp_path):
    pytest.importorskip("av", reason="needs the extra video")
    page = visit()
    page.check("#models input[value=fast]")
    clips = [make_clip(tmp_path / f"{name}.mp4", options=INTERLACED) for name in ("one", "two")]
    page.set_input_files("#files", [clips[0], picture(tmp_path), clips[1]])
    expect(page.locator("#list .bad")).to_have_count(2)
    page.locator("#list .pick").first.click()
    expect(page.locator("#failed-code")).to_have_text("Code: video-format")
    clean(page)
    page.get_by_role("button", name="Deinterlace, all 2").click()
    done(page)
    expect(page.locator("#list .state", has_text="128 × 96")).to_have_count(2)
    expect(page.locator("#again")).to_be_hidden()
    expect(page.locator("#failed")).to_be_hidden()


def test_tiff_is_shown_though_no_browser_shows_it(visit, tmp_path):
    page = visit()
    page.set_input_files("#files", picture(tmp_path, "scan.tif"))
    done(page)
    for side in ("left", "right"):
        shown = page.locator(f"#image-{side}").evaluate(
            "image => image.decode().then(() => image.naturalWidth)"
        )
        assert shown > 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_small_screen_has_room_for_everything(visit, theme, tmp_path):
    page = visit(width=360, height=740, has_touch=True, is_mobile=True, color_scheme=theme)
    page.click("#example")
    done(page)
    page.set_input_files("#files", picture(tmp_path))
    page.check("#models input[value=realistic]")
    expect(page.locator("#again")).to_have_text("Make 2 again with these options")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    clean(page)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = np.array([int(each) for each in background[4:-1].split(",")])
    assert (channels < 60).all() == (theme == "dark")
    page.click("#theme-button")
    page.click("#theme-button")
    clean(page)
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    clean(page)

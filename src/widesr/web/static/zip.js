// A ZIP file of pictures, which are packed already and so are only put in one after another.

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

/** Largest sum of sizes that the plain format counts. */
export const MOST_BYTES = 0xf0000000;

async function crcOf(blob) {
  let crc = 0xffffffff;
  const reader = blob.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return (crc ^ 0xffffffff) >>> 0;
    for (const byte of value) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  }
}

function header(signature, size, fields) {
  const view = new DataView(new ArrayBuffer(size));
  view.setUint32(0, signature, true);
  for (const [at, value, bytes] of fields) {
    if (bytes === 4) view.setUint32(at, value, true);
    else view.setUint16(at, value, true);
  }
  return view.buffer;
}

/** Put files, as {name, blob}, into one; equal names get a number. */
export async function zipped(files) {
  const parts = [];
  const index = [];
  const used = new Set();
  const now = new Date();
  const time = (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1);
  const day = ((now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate();
  let offset = 0;
  for (const { name, blob } of files) {
    const bytes = new TextEncoder().encode(unused(name, used));
    const crc = await crcOf(blob);
    const common = [[0, 20, 2], [2, 0x0800, 2], [6, time, 2], [8, day, 2], [10, crc, 4], [14, blob.size, 4],
                    [18, blob.size, 4], [22, bytes.length, 2]];
    const shifted = (by) => common.map(([at, value, size]) => [at + by, value, size]);
    parts.push(header(0x04034b50, 30, shifted(4)), bytes, blob);
    index.push(header(0x02014b50, 46, [[4, 20, 2], ...shifted(6), [42, offset, 4]]), bytes);
    offset += 30 + bytes.length + blob.size;
  }
  const size = index.reduce((sum, each) => sum + each.byteLength, 0);
  const end = header(0x06054b50, 22, [[8, files.length, 2], [10, files.length, 2], [12, size, 4], [16, offset, 4]]);
  return new Blob([...parts, ...index, end], { type: "application/zip" });
}

function unused(name, used) {
  const dot = name.lastIndexOf(".");
  const [stem, ending] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  let found = name;
  for (let n = 2; used.has(found); n += 1) found = `${stem} (${n})${ending}`;
  used.add(found);
  return found;
}

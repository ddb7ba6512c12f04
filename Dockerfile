# One image for every role: `api`, `worker --role pages`, `worker --role prepare`, `reconcile`.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY casola_ocr casola_ocr
COPY api api
COPY workers workers
RUN python -m venv /opt/casola && /opt/casola/bin/pip install --no-cache-dir .

FROM python:3.11-slim
RUN useradd --uid 10001 --create-home --home-dir /var/lib/casola casola
COPY --from=build /opt/casola /opt/casola
ENV PATH=/opt/casola/bin:$PATH PYTHONUNBUFFERED=1 CASOLA_DATA_DIR=/var/lib/casola/data
USER 10001
WORKDIR /var/lib/casola
EXPOSE 8080
ENTRYPOINT ["casola-ocr"]
CMD ["serve"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["casola-ocr", "doctor"]

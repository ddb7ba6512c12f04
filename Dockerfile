# One image for every role: `api`, `worker --role pages`, `worker --role prepare`, `reconcile`,
# `search follow`. With EXTRA="[vllm]" it also runs DeepSeek-OCR, whose kernels need a compiler (PACKAGES).
FROM python:3.11-slim AS build
ARG EXTRA=""
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY casola_ocr casola_ocr
COPY api api
COPY workers workers
RUN python -m venv /opt/casola && /opt/casola/bin/pip install --no-cache-dir ".${EXTRA}"

FROM python:3.11-slim
ARG PACKAGES=""
# Tesseract with the ten main languages; every other is one more package.
RUN apt-get update \
    && apt-get install -y --no-install-recommends tesseract-ocr tesseract-ocr-osd \
        tesseract-ocr-eng tesseract-ocr-spa tesseract-ocr-fra tesseract-ocr-deu tesseract-ocr-ita \
        tesseract-ocr-por tesseract-ocr-rus tesseract-ocr-jpn tesseract-ocr-kor \
        tesseract-ocr-chi-sim tesseract-ocr-chi-tra tesseract-ocr-frk ${PACKAGES} \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home --home-dir /var/lib/casola casola \
    && install -d -o casola -g casola /var/lib/casola/search /var/lib/casola/.cache
COPY --from=build /opt/casola /opt/casola
ENV PATH=/opt/casola/bin:$PATH PYTHONUNBUFFERED=1 CASOLA_DATA_DIR=/var/lib/casola/data
USER 10001
WORKDIR /var/lib/casola
EXPOSE 8080
ENTRYPOINT ["casola-ocr"]
CMD ["serve"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["casola-ocr", "doctor"]

# Gemini's part, without a bill: the simulator of this repository.
FROM python:3.13-slim
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY shared shared
COPY functions functions
COPY scripts scripts
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .
USER 65532:65532
EXPOSE 8099
ENTRYPOINT ["renderlane", "simulator", "--host", "0.0.0.0", "--port", "8099"]

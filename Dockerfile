# The image that every function runs: what scripts/bundle chose, its locked requirements, byte-compiled, as no user.
#
#   ./scripts/bundle && unzip -q build/bundle.zip -d build/context && docker build -t renderlane build/context
#   docker run -e FUNCTION_TARGET=intake renderlane
#
# scripts/deploy hands the same context to Cloud Build. functions-framework is the entry point, as in a Cloud Function; FUNCTION_TARGET
# names the function.

FROM python:3.13-slim AS build
WORKDIR /app
RUN python -m venv --without-pip /venv
COPY requirements.txt .
# pip of the base image checks every hash and installs into the environment of the second stage. Byte code is checked by nothing:
# no file of an image changes.
RUN pip --python /venv/bin/python install --no-cache-dir --no-deps --no-compile --require-hashes --only-binary=:all: -r requirements.txt
COPY . .
RUN rm -rf $(find . -name __pycache__) requirements.txt Dockerfile \
    && /venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /venv/lib . \
    && PYTHONPATH=/app /venv/bin/python -c "import importlib.util as u; assert u.find_spec('main')"

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Renderlane worker" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=8080
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["functions-framework", "--source=main.py"]

# Two images: `senet` (the default), and with `--target slim` one without cuDNN and NCCL, 2.5 GB smaller, in which senet convolves
# with its own kernels and trains on one GPU. Neither holds the CUDA toolkit or the driver: kernels are compiled here, the container runtime mounts libcuda.
#
# The base images are pinned by tag. To pin their content too, append the digest of the image you trust, which
# `docker buildx imagetools inspect TAG` prints: TAG@sha256:... What pip and go fetch is pinned by SHA-256.
FROM golang:1.26-bookworm AS tools
WORKDIR /src
COPY scripts scripts
RUN scripts/deps.sh build

FROM tools AS cudnn
RUN python3 -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
      --dest /wheels --requirement scripts/requirements-cudnn.txt \
 && for wheel in /wheels/*.whl; do python3 -m zipfile -e "$wheel" /unpacked || exit 1; done \
 && mkdir -p /cudnn/doc \
 && mv /unpacked/nvidia/cudnn/lib /cudnn/lib \
 && mv /unpacked/nvidia/cublas/lib/libcublasLt.so.12 /cudnn/lib/ \
 && mv /unpacked/nvidia_cudnn_*.dist-info/licenses/* /cudnn/doc/ \
 && rm -rf /wheels /unpacked

FROM tools AS nccl
RUN python3 -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
      --dest /wheels --requirement scripts/requirements-nccl.txt \
 && python3 -m zipfile -e /wheels/*.whl /unpacked \
 && mkdir -p /nccl/doc \
 && mv /unpacked/nvidia/nccl/lib /nccl/lib \
 && mv /unpacked/nvidia_nccl_*.dist-info/licenses/* /nccl/doc/ \
 && rm -rf /wheels /unpacked

FROM tools AS build
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=development
RUN make build VERSION=$VERSION
# The licences of the modules that are linked.
RUN go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}' ./cmd/senet | sort -u >/modules \
 && while read -r module dir; do \
      mkdir -p "licences/$module" \
      && find "$dir" -maxdepth 1 -iname 'licen[cs]e*' -exec cp -r -t "licences/$module" '{}' + || exit 1; \
    done </modules

# zlib is cuDNN's, the other two are senet's and oneDNN's.
FROM debian:bookworm-slim AS slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 libstdc++6 zlib1g \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 65532 -g 65532 /work /work/runs
COPY --from=build /src/bin/senet /opt/senet/bin/senet
COPY --from=build /src/lib/libdnnl.so.3 /opt/senet/lib/libdnnl.so.3
COPY --from=build /src/.deps/onednn/doc /opt/senet/doc/onednn
COPY --from=build /usr/share/doc/libjpeg62-turbo-dev/copyright /opt/senet/doc/libjpeg-turbo/copyright
COPY --from=build /src/licences /opt/senet/doc/modules
COPY LICENSE NOTICE /opt/senet/doc/
COPY configs /opt/senet/configs
# What the NVIDIA container runtime mounts: the driver's libcuda.so.1 and nvidia-smi. Without it senet runs on the CPU.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Caches of the driver, of any user.
ENV HOME=/tmp
WORKDIR /work
USER 65532:65532
ENTRYPOINT ["/opt/senet/bin/senet"]

# cuDNN compiles some of its engines when they are first asked for, with NVRTC, which it looks for beside itself.
FROM slim AS full
COPY --from=cudnn /cudnn/lib /opt/senet/lib
COPY --from=cudnn /cudnn/doc /opt/senet/doc/cudnn
COPY --from=nccl /nccl/lib /opt/senet/lib
COPY --from=nccl /nccl/doc /opt/senet/doc/nccl
COPY --from=tools /src/.deps/cuda/lib /opt/senet/lib
COPY --from=tools /src/.deps/cuda/doc /opt/senet/doc/nvrtc

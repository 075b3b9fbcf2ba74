# Both images are pinned by tag. To pin their content too, append the digest of the image you trust: TAG@sha256:...
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY scripts scripts
RUN scripts/deps.sh build
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=development
RUN make build VERSION=$VERSION
# The licences of the modules that are linked.
RUN go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}' ./cmd/senet | sort -u \
 | while read -r module dir; do \
     mkdir -p "licences/$module" \
     && find "$dir" -maxdepth 1 -iname 'licen[cs]e*' -exec cp -r -t "licences/$module" '{}' + || exit 1; \
   done

# On a GPU host:
#   docker run --rm --gpus all --user $(id -u) -v "$PWD:/work" \
#     -v /usr/share/datasets:/usr/share/datasets:ro senet train --config configs/seresnet20-fashion-mnist.yaml
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 libstdc++6 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/bin/senet /opt/senet/bin/senet
COPY --from=build /src/lib/libdnnl.so.3 /opt/senet/lib/libdnnl.so.3
COPY --from=build /src/.deps/onednn/doc /opt/senet/doc/onednn
COPY --from=build /src/licences /opt/senet/doc/modules
COPY LICENSE NOTICE /opt/senet/doc/
COPY configs /opt/senet/configs
# The NVIDIA container runtime mounts the driver's libcuda.so.1; without it senet runs on the CPU.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /work
USER 65532:65532
ENTRYPOINT ["/opt/senet/bin/senet"]

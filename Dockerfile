# The image: one static binary and the CA roots, on nothing. `make image` builds both and this.
# Docker can build it too: see docs/releasing.md.
FROM scratch

# What the build says of itself. The platform's name comes from the builder: amd64, arm64.
ARG TARGETARCH
ARG VERSION=unreleased
ARG REVISION=unknown

LABEL org.opencontainers.image.title="realtime-token-operator" \
      org.opencontainers.image.description="cert-manager for realtime AI tokens: mints ephemeral provider tokens into Kubernetes Secrets and renews them in time" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY target/image/linux/${TARGETARCH}/ /

# A number, so that the kubelet can check runAsNonRoot.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/realtime-token-operator"]
CMD ["run"]

# The container in which `cross` builds the agent for a Raspberry Pi; see Cross.toml. The packages are those of the sysroot
# (xtask/src/sysroot.rs), which a test compares with this list.
FROM debian:trixie
RUN dpkg --add-architecture arm64 \
    && apt-get update \
    && apt-get install --yes --no-install-recommends \
        ca-certificates gcc g++ libc6-dev libclang-dev pkg-config \
        g++-aarch64-linux-gnu \
        libc6-dev:arm64 libgcc-14-dev:arm64 libstdc++-14-dev:arm64 \
        libvpx-dev:arm64 libturbojpeg0-dev:arm64 libcamera-dev:arm64 \
    && rm --recursive /var/lib/apt/lists

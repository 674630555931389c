#!/usr/bin/env bash
# Makes a release below deploy/dist (or --out DIR):
#
#   tokenmigrate-OS-ARCH            static binaries: linux and darwin, amd64 and arm64
#   tokenmigrate-OS-ARCH.cdx.json   what is in each: an SBOM, CycloneDX JSON
#   image/ARCH/                     the image's file trees, for deploy/Dockerfile
#   tokenmigrate-image.tar          the image for both architectures, an OCI archive
#   SHA256SUMS                      of all but the trees; sha256sum -c checks them
#
# It needs Go, git and a Go module proxy, no container engine. The same commit,
# version and Go make the same bytes, wherever and whenever it is run.
#
# The version is --version, else the commit's tag, else devel-COMMIT. Files that
# are changed and not committed are refused, unless --dirty says that it is a trial.
set -euo pipefail
cd "$(dirname "$0")/.."

# What describes the binaries; a version that the Go checksum database knows.
sbom=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; }
fail() {
	echo "release.sh: $*" >&2
	exit 1
}

out=deploy/dist version='' dirty=''
while [ $# -gt 0 ]; do
	case $1 in
	--out) out=${2:?--out needs a folder} && shift 2 ;;
	--version) version=${2:?--version needs a version} && shift 2 ;;
	--dirty) dirty=1 && shift ;;
	-h | --help) usage && exit ;;
	*) fail "$1 is not known; see --help" ;;
	esac
done

# Whoever runs this trusts the clone that it is in, whoever owns it.
git() { command git -c safe.directory="$PWD" "$@"; }

commit=$(git rev-parse HEAD) || fail "this is no git clone, so that nobody could tell what it was made from"
created=$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)
if [ -n "$(git status --porcelain)" ]; then
	[ -n "$dirty" ] || fail "files are changed and not committed: commit them, or say --dirty for a trial"
	commit+=+dirty
fi
if [ -z "$version" ]; then
	version=$(git describe --tags --exact-match 2>/dev/null) || version=devel-${commit:0:12}
fi
# It becomes a part of flags and of the image's tag.
[[ $version =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] || fail "version $version: letters, digits and . _ - only, as in an image's tag"

# Whatever the machine's own settings are, these decide the bytes.
unset GOFLAGS GOEXPERIMENT GOFIPS140
export GOWORK=off GOAMD64=v1 GOARM64=v8.0

# Only a folder that an earlier release made is emptied.
if [ -e "$out" ] && [ -n "$(ls -A "$out")" ] && [ ! -e "$out/SHA256SUMS" ]; then
	fail "$out holds something else than a release: empty it, or name another folder with --out"
fi
rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
: >"$out/SHA256SUMS"

names=()
for platform in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; do
	name=tokenmigrate-${platform/\//-}
	echo "$name"
	# Without the tables of debuggers; stack traces need none of them.
	CGO_ENABLED=0 GOOS=${platform%/*} GOARCH=${platform#*/} go build -trimpath -buildvcs=false \
		-ldflags "-s -w -X main.version=$version -X main.commit=$commit" -o "$out/$name" ./cmd/tokenmigrate
	# It reads the modules out of the binary itself, and is told to leave out
	# the time and the serial number that would make each run another.
	go run -trimpath -buildvcs=false "$sbom" bin -json -std -noserial -notimestamp -version "$version" -output "$out/$name.cdx.json" "$out/$name" 2>/dev/null ||
		fail "the SBOM of $name could not be made; run: go run $sbom bin -json $out/$name"
	names+=("$name" "$name.cdx.json")
done

echo image
go run -C deploy/image . assemble -binaries "$out" -version "$version" -commit "$commit" -created "$created" -out "$out"
names+=(tokenmigrate-image.tar)

sum=(sha256sum)
command -v sha256sum >/dev/null || sum=(shasum -a 256) # macOS
(cd "$out" && "${sum[@]}" "${names[@]}" >SHA256SUMS)

cat <<END

$version, commit $commit, $(go version | cut -d' ' -f3): $out

push the image without a container engine, from the archive unpacked
  mkdir layout && tar -xf $out/tokenmigrate-image.tar -C layout
  go run github.com/google/go-containerregistry/cmd/crane@v0.22.1 push layout REGISTRY/tokenmigrate:$version
or build it with one
  docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=$version --build-arg COMMIT=$commit --build-arg CREATED=$created \\
    -f deploy/Dockerfile -t REGISTRY/tokenmigrate:$version --push $out
END

#!/bin/sh
# Write the exact versions of all dependencies, with hashes, for all platforms.
set -eu
uv=$1
compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links "$@"
}
compile --group build -o requirements/build.txt
compile --extra server pyproject.toml -o requirements/server.txt
compile --extra server --extra testing --group dev -c requirements/server.txt pyproject.toml -o requirements/dev.txt
compile --group bench -c requirements/dev.txt -o requirements/bench.txt
compile --group sbom -o requirements/sbom.txt

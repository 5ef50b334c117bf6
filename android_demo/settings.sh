# Sourced by the build scripts.
cache=$(realpath -m "${TFMPQ_ANDROID_CACHE:-$HOME/.cache/tfmpq-android}")

# The value of a line `NAME = VALUE` of the Gradle build: facts are written down once.
setting() { sed -nE "s/^ *$1 = \"?([^\"]*)\"?\$/\\1/p" "$here/app/build.gradle.kts" | head -n 1; }

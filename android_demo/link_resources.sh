#!/usr/bin/env bash
# Links manifest, resources and assets into DIR/base.apk and writes DIR/gen/.../R.java; for build_apk.sh and the tests.
#
#   android_demo/link_resources.sh DIR
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/settings.sh"
main=$here/app/src/main
mkdir -p "$1"
work=$(cd "$1" && pwd)

python3 "$here/../tools/android/artifacts.py" --list "$here/artifacts.txt" --cache "$cache" --repository "$here/maven"
rm -rf "$work/gen"
mkdir -p "$work/gen"
(cd "$work" && jar xf "$cache/apktool-lib-3.0.3.jar" prebuilt/linux/aapt2 prebuilt/android-framework.jar)
aapt2=$work/prebuilt/linux/aapt2
chmod +x "$aapt2"

# Gradle writes these facts into the manifest itself.
sed -e "s#<manifest #<manifest package=\"$(setting applicationId)\" #" \
    -e 's#<application$#<application android:extractNativeLibs="false"#' "$main/AndroidManifest.xml" >"$work/AndroidManifest.xml"
"$aapt2" compile --dir "$main/res" -o "$work/res.zip"
"$aapt2" link -I "$work/prebuilt/android-framework.jar" --manifest "$work/AndroidManifest.xml" -A "$main/assets" \
  -0 tflite -0 eval --java "$work/gen" --min-sdk-version "$(setting minSdk)" --target-sdk-version "$(setting targetSdk)" \
  --version-code "$(setting versionCode)" --version-name "$(setting versionName)" -o "$work/base.apk" "$work/res.zip"

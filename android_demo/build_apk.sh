#!/usr/bin/env bash
# Builds, signs and checks the app without the Android SDK: Debian packages, a JDK 17 and pinned files from Maven Central.
#
#   android_demo/build_apk.sh [OUTPUT.apk]        default: android_demo/build/tfmpq-demo.apk
#
# TFMPQ_ANDROID_CACHE  where downloads are kept (default ~/.cache/tfmpq-android); a second build needs no network
# TFMPQ_KEYSTORE       signing key (default android_demo/build/debug.keystore, made if missing); password "android".
#                      The same key gives the same bytes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=$here/../tools
build=$here/build
apk=${1:-$build/tfmpq-demo.apk}
keystore=${TFMPQ_KEYSTORE:-$build/debug.keystore}
main=$here/app/src/main
abis=(arm64-v8a x86_64 armeabi-v7a)

"$tools/install_debian.sh" javac=openjdk-17-jdk-headless mvn=maven apksigner=apksigner aapt=aapt dexdump=dexdump unzip=unzip python3=python3

if ! compgen -G "$main/assets/models/*.tflite" >/dev/null; then
  echo "build_apk.sh: no models in $main/assets/models: run python -m tools.android.make_assets first" >&2
  exit 1
fi

# --- pinned artifacts and resources
work=$build/work
rm -rf "$work"
mkdir -p "$work"/{classes,input}
"$here/link_resources.sh" "$work"
source "$here/settings.sh"
aar_classes=()
for aar in tensorflow-lite-2.16.1 tensorflow-lite-api-2.16.1; do
  mkdir "$work/$aar"
  (cd "$work/$aar" && jar xf "$cache/$aar.aar" classes.jar)
  aar_classes+=("$work/$aar/classes.jar")
done
jars=("$cache/tensorflow-lite-2.21.0-1.5.14.jar" "$cache/javacpp-1.5.14.jar" "${aar_classes[@]}"
  "$cache/gson-2.11.0.jar" "$cache/flatbuffers-java-25.2.10.jar")

# --- code
classpath=$(IFS=:; echo "$cache/android-all-14-robolectric-10818077.jar:${jars[*]}")
find "$main/java" "$work/gen" -name '*.java' | LC_ALL=C sort >"$work/sources"
javac --release 8 -encoding UTF-8 -g:source,lines -Xlint:all,-options,-processing,-classfile,-deprecation,-try,-path -proc:none \
  -cp "$classpath" -d "$work/classes" "@$work/sources"
# Only the packages: Java 9's module descriptions are none of the dexer's business.
for jar in "${jars[@]}"; do
  (cd "$work/input" && jar xf "$jar" org com/google/gson com/google/flatbuffers)
done
cp -r "$work/classes/." "$work/input"
java -cp "$cache/dalvik-dx-16.0.1.jar" com.android.dx.command.Main --dex --min-sdk-version="$(setting minSdk)" \
  --output="$work/classes.dex" "$work/input"

# --- APK
python3 "$tools/android/pack.py" --base "$work/base.apk" --dex "$work/classes.dex" --abis "${abis[@]}" \
  --libraries "$cache"/{tensorflow-lite-2.21.0-1.5.14,javacpp-1.5.14}-android-{arm64,x86_64}.jar "$cache/tensorflow-lite-2.16.1.aar" \
  --resources "$cache/javacpp-1.5.14.jar" 'org/bytedeco/javacpp/properties/android-*.properties' --output "$work/unsigned.apk"
if [ ! -f "$keystore" ]; then
  mkdir -p "$(dirname "$keystore")"
  keytool -genkeypair -keystore "$keystore" -storetype PKCS12 -storepass android -alias androiddebugkey -keyalg RSA \
    -keysize 2048 -validity 10000 -dname 'CN=Android Debug,O=Android,C=US' 2>/dev/null
fi
mkdir -p "$(dirname "$apk")"
apksigner sign --ks "$keystore" --ks-pass pass:android --min-sdk-version "$(setting minSdk)" --v1-signing-enabled false \
  --v2-signing-enabled true --v3-signing-enabled true --in "$work/unsigned.apk" --out "$apk"
rm -f "$apk.idsig"
python3 "$tools/android/check.py" "$apk" --manifest "$main/AndroidManifest.xml"
echo "$apk: $(stat -c %s "$apk") bytes, sha256 $(sha256sum "$apk" | cut -d ' ' -f 1)"

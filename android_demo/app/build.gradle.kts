plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "org.tfmpq.demo"
    compileSdk = 35

    defaultConfig {
        // build_apk.sh reads these lines too.
        applicationId = "org.tfmpq.demo"
        minSdk = 24
        targetSdk = 35
        versionCode = 1
        versionName = "0.1.0"
        ndk { abiFilters += listOf("arm64-v8a", "x86_64", "armeabi-v7a") }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }

    // Models are mapped into memory, and libraries loaded, from the APK: stored, not compressed.
    androidResources { noCompress += listOf("tflite", "eval") }
    packaging {
        jniLibs { useLegacyPackaging = false }
        resources { excludes += listOf("META-INF/versions/**", "META-INF/native-image/**", "META-INF/maven/**") }
    }

    buildTypes {
        release {
            isMinifyEnabled = false
            signingConfig = signingConfigs.getByName("debug")
        }
    }

    // Tests run with Maven (../jvm): they need no SDK.
    sourceSets.getByName("test").java.setSrcDirs(emptyList<String>())
}

dependencies {
    implementation(libs.javacpp)
    implementation(libs.tflite.javacpp)
    implementation(libs.tflite.aar)
    implementation(libs.tflite.aar.api)
    implementation(libs.gson)
    implementation(libs.flatbuffers)
    // The native libraries of the JavaCPP jars; there are none for armeabi-v7a.
    for (platform in listOf("android-arm64", "android-x86_64")) {
        runtimeOnly(variantOf(libs.javacpp) { classifier(platform) })
        runtimeOnly(variantOf(libs.tflite.javacpp) { classifier(platform) })
    }
}

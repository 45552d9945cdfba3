// The AAR: the same classes, and `jni/ABI/libcloudsignal_ffi.so` for each ABI that was built.
plugins {
    id("com.android.library")
    kotlin("android")
    `maven-publish`
}

val ffi = rootProject.layout.projectDirectory.dir(providers.gradleProperty("cloudsignal.ffi").get())

android {
    namespace = "io.cloudsignal"
    compileSdk = 35

    defaultConfig {
        minSdk = 24
        consumerProguardFiles("consumer-rules.pro")
    }

    sourceSets["main"].apply {
        kotlin.srcDir(rootProject.file("src/main/kotlin"))
        kotlin.srcDir(ffi.dir("kotlin"))
        jniLibs.srcDir(ffi.dir("jniLibs"))
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    publishing.singleVariant("release")
}

dependencies {
    api("org.jetbrains.kotlinx:kotlinx-coroutines-core:1.8.0")
    implementation("net.java.dev.jna:jna:5.13.0@aar")
}

publishing {
    publications.register<MavenPublication>("android") {
        artifactId = "cloudsignal-android"
        afterEvaluate { from(components["release"]) }
    }
}

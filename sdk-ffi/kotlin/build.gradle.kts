// The jar for servers and desktops: classes, and a native library per platform, which JNA finds by its folder.
plugins {
    kotlin("jvm") version "2.4.20"
    id("com.android.library") version "8.13.0" apply false
    kotlin("android") version "2.4.20" apply false
    `maven-publish`
}

val ffi = layout.projectDirectory.dir(providers.gradleProperty("cloudsignal.ffi").get())

kotlin {
    jvmToolchain(17)
}

sourceSets.main {
    kotlin.srcDir(ffi.dir("kotlin"))
    resources.srcDir(ffi.dir("natives"))
}

dependencies {
    api("org.jetbrains.kotlinx:kotlinx-coroutines-core:1.8.0")
    implementation("net.java.dev.jna:jna:5.13.0")
}

java {
    withSourcesJar()
}

publishing {
    publications.create<MavenPublication>("jvm") {
        artifactId = "cloudsignal"
        from(components["java"])
    }
}

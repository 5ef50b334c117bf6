pluginManagement {
    repositories {
        google()
        mavenCentral()
    }
}

dependencyResolutionManagement {
    repositoriesMode.set(RepositoriesMode.FAIL_ON_PROJECT_REPOS)
    repositories {
        google()
        mavenCentral {
            // javacpp's parent POM is not published: take the jars as they are.
            metadataSources { artifact() }
            content { includeGroup("org.bytedeco") }
        }
        mavenCentral {
            content { excludeGroup("org.bytedeco") }
        }
    }
}

rootProject.name = "tfmpq-demo"
include(":app")

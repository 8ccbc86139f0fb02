"""The review page: name clusters, look at images, search by a picture. A server without a JVM."""

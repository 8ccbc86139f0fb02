package imgsearch;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.Serializable;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.EtagSource;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RemoteIterator;
import org.apache.hadoop.security.AccessControlException;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.util.SerializableConfiguration;

/**
 * Hadoop's FileSystem for a driver and executors whose own language is Python: bulk listing, status, bytes.
 *
 * Compiled by Janino, the compiler that Spark brings for its own generated code (no generics, no lambdas), when the
 * first URI is met; see hadoop_files.py. Whatever goes wrong with one path is a sentence in its row.
 */
public class HadoopFiles {
    private static final int MAX_BYTES = 2000000000;
    private static final long DOWN_MILLIS = 60000L;
    /** Filesystems that do not answer, by scheme and authority: until when they are not asked again, and why. */
    private static final ConcurrentHashMap DOWN = new ConcurrentHashMap();

    /** The folders and files that a URI or a glob names; empty where there is nothing. */
    public static String[] resolve(String where, Configuration conf) throws IOException {
        Path path = new Path(where);
        FileSystem fs = fileSystem(path, conf);
        try {
            return new String[] {fs.getFileStatus(path).getPath().toString()};
        } catch (FileNotFoundException e) {
            FileStatus[] matches = fs.globStatus(path);
            String[] names = new String[matches == null ? 0 : matches.length];
            for (int i = 0; i < names.length; i++) {
                names[i] = matches[i].getPath().toString();
            }
            return names;
        }
    }

    public static boolean isFolder(String where, Configuration conf) throws IOException {
        Path path = new Path(where);
        return fileSystem(path, conf).getFileStatus(path).isDirectory();
    }

    /** Every file at or under some places, as lines of JSON, page by page: the driver holds a page. */
    public static class Pages {
        private final Configuration conf;
        private final ArrayDeque places = new ArrayDeque();
        private RemoteIterator entries;
        private Path here;

        public Pages(String[] tops, Configuration conf) {
            this.conf = conf;
            this.places.addAll(Arrays.asList(tops));
        }

        /** The next page, of at least one row and about n; an empty text after the last. */
        public String next(int n) {
            StringBuilder lines = new StringBuilder();
            int rows = 0;
            while (rows < n && (entries != null || !places.isEmpty())) {
                try {
                    if (entries == null) {
                        here = new Path((String) places.poll());
                        FileSystem fs = fileSystem(here, conf);
                        // An object store has no folders: one flat listing answers many at once.
                        entries = isFlat(fs) ? (RemoteIterator) fs.listFiles(here, true) : fs.listStatusIterator(here);
                    }
                    if (!entries.hasNext()) {
                        entries = null;
                        continue;
                    }
                    FileStatus status = (FileStatus) entries.next();
                    if (status.isDirectory()) {
                        places.add(status.getPath().toString());
                    } else {
                        append(lines, status);
                        rows++;
                    }
                } catch (Throwable e) {
                    fatal(e);
                    entries = null;
                    appendUnlisted(lines, here, e);
                    rows++;
                }
            }
            return lines.toString();
        }

        private static boolean isFlat(FileSystem fs) {
            return fs.getClass().getName().endsWith(".S3AFileSystem");
        }

        private static void append(StringBuilder lines, FileStatus status) {
            lines.append("{\"path\":");
            quote(lines, status.getPath().toString());
            lines.append(",\"n_bytes\":").append(status.getLen());
            lines.append(",\"modified_ms\":").append(status.getModificationTime());
            lines.append(",\"etag\":");
            quote(lines, etag(status));
            lines.append(",\"reason\":").append(status.isSymlink() ? "\"not_a_file\"" : "null");
            lines.append(",\"detail\":").append(status.isSymlink() ? "\"a link\"" : "null").append("}\n");
        }

        private static void appendUnlisted(StringBuilder lines, Path folder, Throwable e) {
            lines.append("{\"path\":");
            quote(lines, folder.toString());
            lines.append(",\"n_bytes\":null,\"modified_ms\":null,\"etag\":null,\"reason\":\"unlisted\",\"detail\":");
            quote(lines, "the folder cannot be listed: " + sentence(folder.toString(), e));
            lines.append("}\n");
        }
    }

    /** path -> (n_bytes, modified_ms, etag, reason, detail); one request to the store. */
    public static class Status implements org.apache.spark.sql.api.java.UDF1, Serializable {
        private static final long serialVersionUID = 1L;
        private final Broadcast conf;

        public Status(Broadcast conf) {
            this.conf = conf;
        }

        public Object call(Object name) throws Exception {
            try {
                Path path = new Path((String) name);
                FileStatus status = fileSystem(path, ((SerializableConfiguration) conf.value()).value()).getFileStatus(path);
                boolean isFile = status.isFile();
                return RowFactory.create(new Object[] {
                    Long.valueOf(status.getLen()), Long.valueOf(status.getModificationTime()), etag(status),
                    isFile ? null : "not_a_file", isFile ? null : (status.isDirectory() ? "a folder" : "a link")});
            } catch (Throwable e) {
                fatal(e);
                return RowFactory.create(new Object[] {null, null, null, "unreadable", sentence((String) name, e)});
            }
        }
    }

    /** (path, n_bytes or null) -> (content, reason, detail); one request to a store that is told the length. */
    public static class Content implements org.apache.spark.sql.api.java.UDF2, Serializable {
        private static final long serialVersionUID = 1L;
        private final Broadcast conf;
        private final long maxBytes;

        public Content(Broadcast conf, long maxBytes) {
            this.conf = conf;
            this.maxBytes = Math.min(maxBytes, MAX_BYTES);
        }

        public Object call(Object name, Object length) throws Exception {
            try {
                byte[] content = read((String) name, (Long) length, ((SerializableConfiguration) conf.value()).value());
                return content == null ? refused("too_large", "more than " + maxBytes + " bytes")
                    : RowFactory.create(new Object[] {content, null, null});
            } catch (OutOfMemoryError e) {
                return refused("out_of_memory", "the file does not fit into the executor's memory");
            } catch (Throwable e) {
                fatal(e);
                return refused("unreadable", sentence((String) name, e));
            }
        }

        private static Object refused(String reason, String detail) {
            return RowFactory.create(new Object[] {null, reason, detail});
        }

        private byte[] read(String name, Long length, Configuration conf) throws Exception {
            Path path = new Path(name);
            FileSystem fs = fileSystem(path, conf);
            long expected = length == null ? fs.getFileStatus(path).getLen() : length.longValue();
            if (expected > maxBytes) {
                return null;
            }
            InputStream in = open(fs, path, expected);
            try {
                byte[] buffer = new byte[(int) Math.max(expected, 0L)];
                int size = 0;
                while (true) {
                    int n = size < buffer.length ? in.read(buffer, size, buffer.length - size) : 0;
                    if (n < 0) {
                        return Arrays.copyOf(buffer, size);
                    }
                    size += n;
                    if (size == buffer.length) {
                        int more = in.read();
                        if (more < 0) {
                            return buffer;
                        }
                        if (size >= maxBytes) { // it has grown since it was listed
                            return null;
                        }
                        buffer = Arrays.copyOf(buffer, (int) Math.min(2L * size + 65536L, maxBytes));
                        buffer[size++] = (byte) more;
                    }
                }
            } finally {
                in.close();
            }
        }

        private static InputStream open(FileSystem fs, Path path, long length) throws Exception {
            org.apache.hadoop.fs.FutureDataInputStreamBuilder builder = fs.openFile(path);
            builder.opt("fs.option.openfile.read.policy", "whole-file, sequential");
            builder.opt("fs.option.openfile.length", Long.toString(length));
            return (InputStream) org.apache.hadoop.util.functional.FutureIO.awaitFuture(builder.build());
        }
    }

    static FileSystem fileSystem(Path path, Configuration conf) throws IOException {
        String authority = authority(path.toString());
        Object[] down = (Object[]) DOWN.get(authority);
        if (down != null && ((Long) down[0]).longValue() > System.currentTimeMillis()) {
            throw new IOException((String) down[1]);
        }
        String scheme = path.toUri().getScheme();
        if ("http".equals(scheme) || "https".equals(scheme)) {
            throw new IOException("the web is not read; copy the files to a filesystem");
        }
        return path.getFileSystem(conf);
    }

    /** What went wrong, in one line that begins with the scheme. Also notes filesystems that do not answer. */
    public static String sentence(String name, Throwable error) {
        String authority = authority(name);
        int colon = authority.indexOf(':');
        String scheme = colon < 0 ? "file" : authority.substring(0, colon);
        String said = said(error);
        if (down(error) != null) {
            DOWN.put(authority, new Object[] {Long.valueOf(System.currentTimeMillis() + DOWN_MILLIS), said});
        }
        return scheme + ": " + said;
    }

    private static String said(Throwable error) {
        String down = down(error);
        if (down != null) {
            return down;
        }
        if (error instanceof FileNotFoundException) {
            return "there is no such file";
        }
        if (error instanceof AccessControlException || error instanceof java.nio.file.AccessDeniedException) {
            return "permission denied";
        }
        String message = error.getMessage() == null ? "" : error.getMessage().split("\n", 2)[0].trim();
        if (error.getClass() == IOException.class && message.length() > 0) {
            return shortened(message);
        }
        return shortened(error.getClass().getSimpleName() + (message.length() > 0 ? ": " + message : ""));
    }

    private static String shortened(String text) {
        return text.length() > 300 ? text.substring(0, 300) + "..." : text;
    }

    /** Why a whole filesystem does not answer; null where it is about one file. */
    private static String down(Throwable error) {
        for (Throwable e = error; e != null; e = e.getCause()) {
            String name = e.getClass().getSimpleName();
            if (e instanceof java.net.ConnectException || e instanceof java.net.NoRouteToHostException
                    || name.equals("ConnectTimeoutException")) {
                return "the server does not answer";
            }
            if (name.equals("UnknownHostException")) {
                return "there is no such host";
            }
            if (name.equals("UnsupportedFileSystemException")) {
                return "no filesystem is configured for this scheme";
            }
            if (name.equals("UnknownStoreException")) {
                return "there is no such bucket";
            }
            if (name.equals("NoAuthWithAWSException")) {
                return "there are no credentials for it";
            }
        }
        return null;
    }

    private static String authority(String name) {
        int colon = name.indexOf(":/");
        if (colon < 0) {
            return name.substring(0, Math.max(0, name.indexOf(':')));
        }
        int start = name.startsWith("://", colon) ? colon + 3 : colon + 2;
        int slash = name.indexOf('/', start);
        return slash < 0 ? name : name.substring(0, slash);
    }

    static String etag(FileStatus status) {
        return status instanceof EtagSource ? ((EtagSource) status).getEtag() : null;
    }

    /** What must reach Spark: a task that is being killed is no row. */
    static void fatal(Throwable e) {
        boolean stopped = e instanceof java.io.InterruptedIOException && !(e instanceof java.net.SocketTimeoutException);
        if (stopped || e instanceof InterruptedException || Thread.currentThread().isInterrupted() || e instanceof ThreadDeath) {
            throw new RuntimeException(e);
        }
    }

    static void quote(StringBuilder out, String text) {
        if (text == null) {
            out.append("null");
            return;
        }
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            boolean pair = Character.isHighSurrogate(c) && i + 1 < text.length()
                && Character.isLowSurrogate(text.charAt(i + 1));
            if (pair) {
                out.append(c).append(text.charAt(++i));
            } else if (Character.isSurrogate(c)) {
                out.append('\ufffd');
            } else if (c < ' ' || c == '"' || c == '\\') {
                out.append(String.format("\\u%04x", new Object[] {Integer.valueOf(c)}));
            } else {
                out.append(c);
            }
        }
        out.append('"');
    }
}

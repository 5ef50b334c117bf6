package org.tfmpq.demo.ui;

import org.tfmpq.demo.core.CatalogueException;
import org.tfmpq.demo.core.Report;

import java.io.DataInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;

/** Finished reports: NAME.json and NAME.csv in one folder, which `adb pull` can read. */
final class ReportStore {
    private static final String JSON = ".json";
    private static final String CSV = ".csv";

    private final File folder;

    ReportStore(File folder) {
        this.folder = folder;
    }

    /** Writes both files, the JSON last and at once: who sees it can read all of it. Answers the JSON file. */
    File save(String name, Report report) throws IOException {
        folder.mkdirs();
        write(csv(name), report.toCsv());
        write(json(name), report.toJson() + "\n");
        return json(name);
    }

    /** Names, the newest first. */
    List<String> names() {
        File[] files = folder.listFiles();
        List<File> reports = new ArrayList<File>();
        if (files != null) {
            for (File file : files) {
                if (file.getName().endsWith(JSON)) {
                    reports.add(file);
                }
            }
        }
        Collections.sort(reports, new Comparator<File>() {
            @Override
            public int compare(File one, File other) {
                int byTime = Long.compare(other.lastModified(), one.lastModified());
                return byTime != 0 ? byTime : other.getName().compareTo(one.getName());
            }
        });
        List<String> names = new ArrayList<String>();
        for (File file : reports) {
            names.add(file.getName().substring(0, file.getName().length() - JSON.length()));
        }
        return names;
    }

    Report read(String name) throws IOException, CatalogueException {
        File file = json(name);
        byte[] bytes = new byte[(int) file.length()];
        DataInputStream stream = new DataInputStream(new FileInputStream(file));
        try {
            stream.readFully(bytes);
        } finally {
            stream.close();
        }
        return Report.parse(new String(bytes, StandardCharsets.UTF_8));
    }

    void delete(String name) {
        json(name).delete();
        csv(name).delete();
    }

    File json(String name) {
        return new File(folder, name + JSON);
    }

    File csv(String name) {
        return new File(folder, name + CSV);
    }

    /** The file of that name, or null: only reports of this folder, whatever the name says. */
    File find(String fileName) {
        boolean report = fileName.endsWith(JSON) || fileName.endsWith(CSV);
        File file = new File(folder, new File(fileName).getName());
        return report && file.isFile() ? file : null;
    }

    private static void write(File file, String text) throws IOException {
        File half = new File(file.getPath() + ".part");
        FileOutputStream stream = new FileOutputStream(half);
        try {
            stream.write(text.getBytes(StandardCharsets.UTF_8));
            stream.getFD().sync();
        } finally {
            stream.close();
        }
        if (!half.renameTo(file)) {
            throw new IOException("cannot write " + file);
        }
    }
}

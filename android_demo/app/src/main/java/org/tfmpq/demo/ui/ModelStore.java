package org.tfmpq.demo.ui;

import android.content.res.AssetFileDescriptor;
import android.content.res.AssetManager;

import org.tfmpq.demo.core.Catalogue;
import org.tfmpq.demo.core.CatalogueException;
import org.tfmpq.demo.core.ModelEntry;
import org.tfmpq.demo.core.ModelSource;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Models of the APK and models that were pushed into the app's folder; of two with the same id the pushed one counts. */
final class ModelStore implements ModelSource {
    private static final String ASSETS = "models";
    private static final String CATALOGUE = "catalogue.json";
    private static final String MODEL = ".tflite";

    private final AssetManager assets;
    private final File pushed;
    private volatile Set<String> pushedIds = new HashSet<String>();

    ModelStore(AssetManager assets, File pushed) {
        this.assets = assets;
        this.pushed = pushed;
    }

    /**
     * Reads what is there now.
     *
     * @throws CatalogueException a catalogue cannot be read
     */
    Catalogue catalogue() throws CatalogueException {
        Catalogue bundled;
        try {
            bundled = Catalogue.parse(new String(asset(CATALOGUE), StandardCharsets.UTF_8));
        } catch (IOException absent) {
            bundled = Catalogue.empty(); // an APK without models shows pushed ones only
        }
        Catalogue own = pushedCatalogue();
        Set<String> ids = new HashSet<String>();
        for (ModelEntry entry : own.models) {
            ids.add(entry.id);
        }
        pushedIds = ids;
        return bundled.plus(own);
    }

    private Catalogue pushedCatalogue() throws CatalogueException {
        pushed.mkdirs(); // so that `adb push` finds it
        File[] files = pushed.listFiles();
        List<String> names = new ArrayList<String>();
        List<Long> sizes = new ArrayList<Long>();
        if (files != null) {
            Arrays.sort(files);
            for (File file : files) {
                if (file.isFile() && file.getName().endsWith(MODEL)) {
                    names.add(file.getName());
                    sizes.add(file.length());
                }
            }
        }
        File listing = new File(pushed, CATALOGUE);
        Catalogue described = Catalogue.empty();
        if (listing.isFile()) {
            try {
                described = Catalogue.parse(new String(all(new FileInputStream(listing)), StandardCharsets.UTF_8));
            } catch (IOException error) {
                throw new CatalogueException(listing + ": " + error.getMessage());
            }
        }
        return described.withFiles(names, sizes);
    }

    @Override
    public ByteBuffer model(ModelEntry entry) throws IOException {
        if (pushedIds.contains(entry.id)) {
            File file = new File(pushed, entry.file);
            return map(new FileInputStream(file), 0, file.length());
        }
        AssetFileDescriptor descriptor = assets.openFd(ASSETS + "/" + entry.file);
        try {
            return map(descriptor.createInputStream(), descriptor.getStartOffset(), descriptor.getLength());
        } finally {
            descriptor.close();
        }
    }

    @Override
    public byte[] evaluation(ModelEntry entry) throws IOException {
        File file = new File(pushed, entry.evaluation);
        return file.isFile() ? all(new FileInputStream(file)) : asset(entry.evaluation);
    }

    private byte[] asset(String name) throws IOException {
        return all(assets.open(ASSETS + "/" + name));
    }

    private static ByteBuffer map(FileInputStream stream, long start, long length) throws IOException {
        try {
            ByteBuffer mapped = stream.getChannel().map(FileChannel.MapMode.READ_ONLY, start, length);
            return mapped.order(ByteOrder.LITTLE_ENDIAN);
        } finally {
            stream.close();
        }
    }

    private static byte[] all(InputStream stream) throws IOException {
        try {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            byte[] block = new byte[1 << 16];
            for (int count = stream.read(block); count >= 0; count = stream.read(block)) {
                bytes.write(block, 0, count);
            }
            return bytes.toByteArray();
        } finally {
            stream.close();
        }
    }
}

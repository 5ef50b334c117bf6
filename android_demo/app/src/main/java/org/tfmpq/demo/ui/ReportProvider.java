package org.tfmpq.demo.ui;

import android.content.ContentProvider;
import android.content.ContentValues;
import android.database.Cursor;
import android.database.MatrixCursor;
import android.net.Uri;
import android.os.ParcelFileDescriptor;
import android.provider.OpenableColumns;

import java.io.File;
import java.io.FileNotFoundException;

/** Hands a report's file, and nothing else, to the app that it is shared with. */
public final class ReportProvider extends ContentProvider {
    static final String AUTHORITY = "org.tfmpq.demo.reports";
    static final String JSON_TYPE = "application/json";
    static final String CSV_TYPE = "text/csv";

    static Uri uri(File file) {
        return new Uri.Builder().scheme("content").authority(AUTHORITY).appendPath(file.getName()).build();
    }

    @Override
    public boolean onCreate() {
        return true;
    }

    @Override
    public String getType(Uri uri) {
        return String.valueOf(uri.getLastPathSegment()).endsWith(".csv") ? CSV_TYPE : JSON_TYPE;
    }

    @Override
    public ParcelFileDescriptor openFile(Uri uri, String mode) throws FileNotFoundException {
        if (!"r".equals(mode)) {
            throw new FileNotFoundException("reports are read only");
        }
        return ParcelFileDescriptor.open(file(uri), ParcelFileDescriptor.MODE_READ_ONLY);
    }

    @Override
    public Cursor query(Uri uri, String[] projection, String selection, String[] arguments, String order) {
        String[] columns =
                projection != null ? projection : new String[] {OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE};
        MatrixCursor cursor = new MatrixCursor(columns);
        try {
            File file = file(uri);
            MatrixCursor.RowBuilder row = cursor.newRow();
            for (String column : columns) {
                if (OpenableColumns.DISPLAY_NAME.equals(column)) {
                    row.add(file.getName());
                } else {
                    row.add(OpenableColumns.SIZE.equals(column) ? file.length() : null);
                }
            }
        } catch (FileNotFoundException gone) {
            // An empty answer says so.
        }
        return cursor;
    }

    private File file(Uri uri) throws FileNotFoundException {
        String name = String.valueOf(uri.getLastPathSegment());
        File file = ((DemoApplication) getContext().getApplicationContext()).services().reports.find(name);
        if (file == null) {
            throw new FileNotFoundException("no report " + name);
        }
        return file;
    }

    @Override
    public Uri insert(Uri uri, ContentValues values) {
        throw new UnsupportedOperationException("reports are read only");
    }

    @Override
    public int delete(Uri uri, String selection, String[] arguments) {
        throw new UnsupportedOperationException("reports are read only");
    }

    @Override
    public int update(Uri uri, ContentValues values, String selection, String[] arguments) {
        throw new UnsupportedOperationException("reports are read only");
    }
}

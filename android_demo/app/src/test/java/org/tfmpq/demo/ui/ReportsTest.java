package org.tfmpq.demo.ui;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;
import static org.robolectric.Shadows.shadowOf;

import android.app.Activity;
import android.content.Intent;
import android.database.Cursor;
import android.net.Uri;
import android.provider.OpenableColumns;
import android.view.Menu;
import android.view.MenuItem;
import android.view.View;
import android.widget.ListView;
import android.widget.TextView;
import android.widget.Toolbar;

import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.shadows.ShadowToast;
import org.tfmpq.demo.R;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;

/** History, sharing and deleting. */
@RunWith(DemoRunner.class)
public final class ReportsTest {
    private final Phone phone = new Phone();

    @Before
    public void prepare() throws IOException {
        phone.useFakeEngines();
        phone.pushModels();
    }

    /** Makes a report as a collector does. */
    private void report(String token, String models) throws InterruptedException {
        Intent request = new Intent().putExtra("autorun", true).putExtra("token", token).putExtra("models", models)
                .putExtra("runs", 3).putExtra("seconds", 0f);
        Robolectric.buildActivity(MainActivity.class, request).setup().pause().stop().destroy();
        phone.awaitEnd();
        File file = new File(phone.files, "results/" + token + ".json");
        assertTrue(file.setLastModified(token.equals("old") ? 1000000000000L : 1600000000000L));
    }

    private static String row(ListView list, int position) {
        View row = list.getAdapter().getView(position, null, list);
        return ((TextView) row.findViewById(android.R.id.text2)).getText().toString();
    }

    @Test
    public void historyListsTheNewestFirstAndOpensReports() throws Exception {
        report("old", "toy-float");
        report("new", "toy-stock,toy-auto");
        HistoryActivity history = Robolectric.buildActivity(HistoryActivity.class).setup().get();
        ListView list = history.findViewById(R.id.reports);
        assertEquals(2, list.getAdapter().getCount());
        assertEquals("2 runs: toy-stock, toy-auto", row(list, 0));
        assertEquals("1 run: toy-float", row(list, 1));
        shadowOf(list).performItemClick(1);
        ResultsActivity results = phone.openResults(shadowOf(history).getNextStartedActivity());
        assertTrue(Phone.texts(results).contains("\nfloat\n"));
        assertFalse(Phone.texts(results).contains("\nauto\n"));
    }

    @Test
    public void historySaysThatItIsEmpty() {
        HistoryActivity history = Robolectric.buildActivity(HistoryActivity.class).setup().get();
        Phone.settle();
        assertTrue(Phone.texts(history).contains("No results yet."));
    }

    @Test
    public void theFormLeadsToTheHistory() {
        MainActivity activity = phone.open().get();
        choose(activity, R.string.history_title);
        assertEquals(HistoryActivity.class.getName(),
                shadowOf(activity).getNextStartedActivity().getComponent().getClassName());
    }

    @Test
    public void aDamagedReportIsARowAndNoCrash() throws Exception {
        report("old", "toy-float");
        Files.write(new File(phone.files, "results/broken.json").toPath(), "{".getBytes(StandardCharsets.UTF_8));
        HistoryActivity history = Robolectric.buildActivity(HistoryActivity.class).setup().get();
        assertEquals(2, ((ListView) history.findViewById(R.id.reports)).getAdapter().getCount());
        ResultsActivity results = phone.openResults(ResultsActivity.intent(history, "broken"));
        assertTrue(results.isFinishing());
        assertTrue(ShadowToast.getTextOfLatestToast(), ShadowToast.getTextOfLatestToast().contains("broken"));
    }

    private ResultsActivity results(String token) throws InterruptedException {
        report(token, "toy-float,toy-broken");
        return phone.openResults(ResultsActivity.intent(phone.application, token));
    }

    /** Chooses an item of the screen's menu. */
    private static void choose(Activity activity, int title) {
        Phone.settle();
        Toolbar toolbar = activity.findViewById(R.id.toolbar);
        assertTrue(activity.getString(title), choose(toolbar.getMenu(), activity.getString(title)));
        Phone.settle();
    }

    private static boolean choose(Menu menu, String title) {
        for (int i = 0; i < menu.size(); i++) {
            MenuItem item = menu.getItem(i);
            if (item.hasSubMenu() && choose(item.getSubMenu(), title)) {
                return true;
            }
            if (title.contentEquals(item.getTitle()) && !item.hasSubMenu()) {
                return menu.performIdentifierAction(item.getItemId(), 0);
            }
        }
        return false;
    }

    private static Intent sent(ResultsActivity activity) {
        Intent chooser = shadowOf(activity).getNextStartedActivity();
        assertEquals(Intent.ACTION_CHOOSER, chooser.getAction());
        return chooser.getParcelableExtra(Intent.EXTRA_INTENT, Intent.class);
    }

    private String read(Uri uri) throws IOException {
        InputStream stream = phone.application.getContentResolver().openInputStream(uri);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (int c = stream.read(); c >= 0; c = stream.read()) {
            bytes.write(c);
        }
        stream.close();
        return new String(bytes.toByteArray(), StandardCharsets.UTF_8);
    }

    @Test
    public void csvAndJsonAreShared() throws Exception {
        ResultsActivity results = results("mine");
        choose(results, R.string.share_csv);
        Intent csv = sent(results);
        assertEquals("text/csv", csv.getType());
        assertTrue((csv.getFlags() & Intent.FLAG_GRANT_READ_URI_PERMISSION) != 0);
        Uri uri = csv.getParcelableExtra(Intent.EXTRA_STREAM, Uri.class);
        assertEquals(uri, csv.getClipData().getItemAt(0).getUri());
        String[] lines = read(uri).split("\n");
        assertEquals(3, lines.length);
        assertTrue(lines[0], lines[0].contains("p50_ms"));
        assertTrue(lines[2], lines[2].contains("FULLY_CONNECTED with INT4 weights is not supported"));
        Cursor cursor = phone.application.getContentResolver().query(uri, null, null, null, null);
        assertTrue(cursor.moveToFirst());
        assertEquals("mine.csv", cursor.getString(cursor.getColumnIndexOrThrow(OpenableColumns.DISPLAY_NAME)));
        assertEquals(read(uri).length(), cursor.getInt(cursor.getColumnIndexOrThrow(OpenableColumns.SIZE)));

        choose(results, R.string.share_json);
        Intent json = sent(results);
        assertEquals("application/json", json.getType());
        assertTrue(read(json.getParcelableExtra(Intent.EXTRA_STREAM, Uri.class)).startsWith("{\"token\":\"mine\""));
    }

    @Test
    public void nothingElseIsHandedOut() throws Exception {
        results("mine");
        assertNotNull(read(uri("mine.csv")));
        phone.push("secret.json", "{}");
        for (String name : new String[] {"../models/secret.json", "secret.json", "..", "", "a.tflite"}) {
            try {
                read(uri(name));
                fail(name + " was handed out");
            } catch (FileNotFoundException expected) {
                assertTrue(expected.getMessage(), expected.getMessage().contains("no report"));
            }
        }
        try {
            phone.application.getContentResolver().openOutputStream(uri("mine.csv"));
            fail("a report can be overwritten");
        } catch (FileNotFoundException expected) {
            assertTrue(expected.getMessage().contains("read only"));
        }
    }

    private static Uri uri(String name) {
        return new Uri.Builder().scheme("content").authority(ReportProvider.AUTHORITY).appendPath(name).build();
    }

    @Test
    public void deleteRemovesBothFilesAndLeaves() throws Exception {
        ResultsActivity results = results("mine");
        choose(results, R.string.delete);
        assertTrue(results.isFinishing());
        assertEquals(0, new File(phone.files, "results").list().length);
        assertNull(phone.application.services().reports.find("mine.csv"));
    }

    @Test
    public void theChosenFigureSurvivesRotation() throws Exception {
        report("mine", "toy-float,toy-stock");
        ActivityController<ResultsActivity> controller =
                Robolectric.buildActivity(ResultsActivity.class, ResultsActivity.intent(phone.application, "mine"));
        controller.setup();
        Phone.press(controller.get(), "Size");
        controller.recreate();
        Phone.settle();
        String texts = Phone.texts(controller.get());
        assertTrue(texts, texts.contains("float: 4.0 kB. stock int8: 2.0 kB."));
    }
}

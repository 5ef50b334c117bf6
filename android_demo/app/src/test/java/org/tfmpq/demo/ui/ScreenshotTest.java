package org.tfmpq.demo.ui;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.app.Activity;
import android.content.Intent;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Color;
import android.os.BatteryManager;
import android.os.PowerManager;
import android.view.View;

import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.annotation.GraphicsMode;
import org.robolectric.shadows.ShadowBuild;
import org.tfmpq.demo.R;
import org.tfmpq.demo.engine.Engines;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.util.Collections;
import java.util.HashSet;
import java.util.Set;

/** Draws the screens into target/screenshots, for people to look at; checks what a program can see. */
@RunWith(DemoRunner.class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public final class ScreenshotTest {
    private static final String PORTRAIT = "w392dp-h873dp-port-xhdpi";
    private static final String LANDSCAPE = "w873dp-h392dp-land-xhdpi";

    private final Phone phone = new Phone();

    @Before
    public void prepare() {
        // What is drawn is measured here, and must not look like a phone's.
        ShadowBuild.setManufacturer("Robolectric");
        ShadowBuild.setModel("on a desktop processor");
        ShadowBuild.setHardware("x86-64");
        ShadowBuild.setSupportedAbis(new String[] {"x86_64"});
        // The other engine's library is Android's: here its row would be an error that no phone shows.
        Services real = Services.real(phone.application);
        phone.application.use(new Services(
                Collections.singletonList(Engines.byId("javacpp")), real.clock, real.memory, real.models, real.reports));
        Intent battery = new Intent(Intent.ACTION_BATTERY_CHANGED)
                .putExtra(BatteryManager.EXTRA_LEVEL, 83)
                .putExtra(BatteryManager.EXTRA_SCALE, 100)
                .putExtra(BatteryManager.EXTRA_TEMPERATURE, 312);
        phone.application.sendStickyBroadcast(battery);
        shadowOf(phone.application.getSystemService(PowerManager.class)).setCurrentThermalStatus(1);
    }

    @Test
    public void light() throws Exception {
        screens(PORTRAIT, "light", R.color.background, 0xFFF5F7F8);
    }

    @Test
    public void dark() throws Exception {
        screens(PORTRAIT.replace("-xhdpi", "-night-xhdpi"), "dark", R.color.background, 0xFF0F1416);
    }

    @Test
    public void landscape() throws Exception {
        screens(LANDSCAPE, "landscape", R.color.background, 0xFFF5F7F8);
    }

    @Test
    public void largeText() throws Exception {
        RuntimeEnvironment.setFontScale(1.6f);
        screens(PORTRAIT, "large_text", R.color.background, 0xFFF5F7F8);
    }

    private void screens(String qualifiers, String name, int color, int expected) throws Exception {
        RuntimeEnvironment.setQualifiers(qualifiers);
        MainActivity main = phone.open().get();
        assertEquals(expected, main.getColor(color));
        check(save(main, "main_" + name), expected);
        Phone.type(main, R.id.runs, "20");
        Phone.type(main, R.id.seconds, "0");
        Phone.type(main, R.id.cooldown, "0");
        Phone.press(main, "Start");
        phone.awaitEnd();
        Phone.settle();
        Intent next = shadowOf(main).getNextStartedActivity();
        check(save(main, "done_" + name), expected);
        ResultsActivity results = phone.openResults(next);
        check(save(results, "results_" + name), expected);
        check(save(Robolectric.buildActivity(HistoryActivity.class).setup().get(), "history_" + name), expected);
    }

    private static Bitmap save(Activity activity, String name) throws IOException {
        View view = activity.getWindow().getDecorView();
        Bitmap bitmap = Bitmap.createBitmap(view.getWidth(), view.getHeight(), Bitmap.Config.ARGB_8888);
        view.draw(new Canvas(bitmap));
        File folder = new File(System.getProperty("screenshots"));
        folder.mkdirs();
        FileOutputStream stream = new FileOutputStream(new File(folder, name + ".png"));
        assertTrue(bitmap.compress(Bitmap.CompressFormat.PNG, 100, stream));
        stream.close();
        return bitmap;
    }

    /** The theme's background is behind everything, and there is something on it. */
    private static void check(Bitmap bitmap, int background) {
        assertEquals(Integer.toHexString(background), Integer.toHexString(bitmap.getPixel(4, bitmap.getHeight() / 2)));
        int[] pixels = new int[bitmap.getWidth() * bitmap.getHeight()];
        bitmap.getPixels(pixels, 0, bitmap.getWidth(), 0, 0, bitmap.getWidth(), bitmap.getHeight());
        Set<Integer> colors = new HashSet<Integer>();
        for (int pixel : pixels) {
            colors.add(pixel);
        }
        assertTrue("only " + colors.size() + " colours", colors.size() > 20);
        assertEquals(255, Color.alpha(bitmap.getPixel(4, 4)));
    }
}

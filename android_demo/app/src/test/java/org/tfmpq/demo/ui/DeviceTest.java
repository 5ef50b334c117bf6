package org.tfmpq.demo.ui;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.app.Application;
import android.content.Intent;
import android.os.BatteryManager;
import android.os.PowerManager;

import com.google.gson.JsonObject;

import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.shadows.ShadowBuild;

/** The head of a report. */
@RunWith(DemoRunner.class)
public final class DeviceTest {
    private final Application application = RuntimeEnvironment.getApplication();

    @Test
    public void stateIsReadFromTheSystem() {
        application.sendStickyBroadcast(new Intent(Intent.ACTION_BATTERY_CHANGED)
                .putExtra(BatteryManager.EXTRA_LEVEL, 83)
                .putExtra(BatteryManager.EXTRA_SCALE, 200)
                .putExtra(BatteryManager.EXTRA_TEMPERATURE, 312)
                .putExtra(BatteryManager.EXTRA_PLUGGED, BatteryManager.BATTERY_PLUGGED_USB));
        PowerManager power = application.getSystemService(PowerManager.class);
        shadowOf(power).setCurrentThermalStatus(PowerManager.THERMAL_STATUS_SEVERE);
        shadowOf(power).setIsPowerSaveMode(true);
        JsonObject fields = DeviceState.now(application).fields("after");
        assertEquals("severe", fields.get("thermal_after").getAsString());
        assertEquals(42, fields.get("battery_percent_after").getAsInt()); // 41.5 rounded
        assertEquals(31.2, fields.get("battery_celsius_after").getAsDouble(), 1e-9);
        assertTrue(fields.get("charging_after").getAsBoolean());
        assertTrue(fields.get("power_save_after").getAsBoolean());
        assertEquals(
                "throttling severe · battery 42 % · 31.2 °C · charging · power save mode: figures will be too slow",
                DeviceState.line(application, fields, "after"));
    }

    @Test
    public void whatIsUnknownIsNull() {
        application.removeStickyBroadcast(new Intent(Intent.ACTION_BATTERY_CHANGED));
        JsonObject fields = DeviceState.now(application).fields("before");
        assertTrue(fields.get("battery_celsius_before").isJsonNull());
        assertFalse(fields.get("charging_before").getAsBoolean());
    }

    @Test
    public void theMakerIsNamedOnce() {
        ShadowBuild.setManufacturer("Acme");
        ShadowBuild.setModel("Acme One");
        assertEquals("Acme One", DeviceFacts.fields().get("model").getAsString());
        ShadowBuild.setModel("One");
        assertEquals("Acme One", DeviceFacts.fields().get("model").getAsString());
    }

    @Test
    public void theChipHasItsMakersNameWhereThatIsTold() {
        ShadowBuild.setSystemOnChipManufacturer("Maker");
        ShadowBuild.setSystemOnChipModel("SoC 9");
        assertEquals("Maker SoC 9", DeviceFacts.fields().get("cpu").getAsString());
        ShadowBuild.setSystemOnChipModel(android.os.Build.UNKNOWN);
        ShadowBuild.setHardware("board7");
        assertEquals("board7", DeviceFacts.fields().get("cpu").getAsString());
    }
}

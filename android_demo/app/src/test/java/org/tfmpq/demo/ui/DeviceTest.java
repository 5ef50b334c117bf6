package org.tfmpq.demo.ui;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.robolectric.Shadows.shadowOf;

import android.app.Application;
import android.content.Intent;
import android.os.BatteryManager;
import android.os.PowerManager;

import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.shadows.ShadowBuild;

import java.util.Map;

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
        Map<String, Object> fields = DeviceState.now(application).fields("after");
        assertEquals("severe", fields.get("thermal_after"));
        assertEquals(42, fields.get("battery_percent_after")); // 41.5 rounded
        assertEquals(31.2, (Double) fields.get("battery_celsius_after"), 1e-9);
        assertEquals(true, fields.get("charging_after"));
        assertEquals(true, fields.get("power_save_after"));
        assertEquals(
                "throttling severe · battery 42 % · 31.2 °C · charging · power save mode: figures will be too slow",
                DeviceState.line(application, fields, "after"));
    }

    @Test
    public void whatIsUnknownIsNull() {
        application.removeStickyBroadcast(new Intent(Intent.ACTION_BATTERY_CHANGED));
        Map<String, Object> fields = DeviceState.now(application).fields("before");
        assertNull(fields.get("battery_celsius_before"));
        assertEquals(false, fields.get("charging_before"));
    }

    @Test
    public void theMakerIsNamedOnce() {
        ShadowBuild.setManufacturer("Acme");
        ShadowBuild.setModel("Acme One");
        assertEquals("Acme One", DeviceFacts.fields().get("model"));
        ShadowBuild.setModel("One");
        assertEquals("Acme One", DeviceFacts.fields().get("model"));
    }

    @Test
    public void theChipHasItsMakersNameWhereThatIsTold() {
        ShadowBuild.setSystemOnChipManufacturer("Maker");
        ShadowBuild.setSystemOnChipModel("SoC 9");
        assertEquals("Maker SoC 9", DeviceFacts.fields().get("cpu"));
        ShadowBuild.setSystemOnChipModel(android.os.Build.UNKNOWN);
        ShadowBuild.setHardware("board7");
        assertEquals("board7", DeviceFacts.fields().get("cpu"));
    }
}

package org.tfmpq.demo.ui;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.graphics.RectF;
import android.text.TextPaint;
import android.text.TextUtils;
import android.util.AttributeSet;
import android.util.TypedValue;
import android.view.View;

import org.tfmpq.demo.R;

import java.util.ArrayList;
import java.util.List;

/** Horizontal bars with a name before and a figure behind each; they grow with the user's font size. */
public final class BarsView extends View {
    /** One bar; immutable. NaN as value: no bar, the text says why. */
    static final class Bar {
        final String name;
        final double value;
        /** End of the thin line beyond the bar; NaN: none. */
        final double reach;
        final String text;
        final int color;

        Bar(String name, double value, double reach, String text, int color) {
            this.name = name;
            this.value = value;
            this.reach = reach;
            this.text = text;
            this.color = color;
        }
    }

    private static final float WIDEST_NAME = 0.34f; // of the view

    private final TextPaint textPaint = new TextPaint(Paint.ANTI_ALIAS_FLAG);
    private final Paint barPaint = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final RectF shape = new RectF();
    private final float gap;
    private final float rowHeight;
    private final int quiet;
    private List<Bar> bars = new ArrayList<Bar>();

    public BarsView(Context context, AttributeSet attributes) {
        super(context, attributes);
        textPaint.setTextSize(pixels(TypedValue.COMPLEX_UNIT_SP, 13));
        textPaint.setColor(context.getColor(R.color.text));
        quiet = context.getColor(R.color.text_quiet);
        gap = pixels(TypedValue.COMPLEX_UNIT_DIP, 8);
        rowHeight = textPaint.getTextSize() + pixels(TypedValue.COMPLEX_UNIT_DIP, 14);
    }

    /** Shows these; `description` is what a screen reader says. */
    void show(List<Bar> newBars, CharSequence description) {
        bars = new ArrayList<Bar>(newBars);
        setContentDescription(description);
        requestLayout();
        invalidate();
    }

    @Override
    protected void onMeasure(int widthSpec, int heightSpec) {
        int height = (int) Math.ceil(rowHeight * bars.size()) + getPaddingTop() + getPaddingBottom();
        setMeasuredDimension(getDefaultSize(getSuggestedMinimumWidth(), widthSpec), resolveSize(height, heightSpec));
    }

    @Override
    protected void onDraw(Canvas canvas) {
        float nameWidth = 0;
        float textWidth = 0;
        double low = 0;
        double high = 0;
        for (Bar bar : bars) {
            nameWidth = Math.max(nameWidth, textPaint.measureText(bar.name));
            if (!Double.isNaN(bar.value)) {
                textWidth = Math.max(textWidth, textPaint.measureText(bar.text));
                low = Math.min(low, bar.value);
                high = Math.max(high, Double.isNaN(bar.reach) ? bar.value : Math.max(bar.value, bar.reach));
            }
        }
        nameWidth = Math.min(nameWidth, WIDEST_NAME * getWidth());
        float start = nameWidth + gap;
        float room = Math.max(1, getWidth() - start - gap - textWidth);
        double span = high > low ? high - low : 1;
        boolean mirrored = getLayoutDirection() == LAYOUT_DIRECTION_RTL;
        for (int i = 0; i < bars.size(); i++) {
            Bar bar = bars.get(i);
            float top = getPaddingTop() + i * rowHeight;
            float middle = top + rowHeight / 2;
            text(canvas, bar.name, 0, nameWidth, middle, mirrored, textPaint.getColor());
            if (Double.isNaN(bar.value)) {
                text(canvas, bar.text, start, getWidth() - start, middle, mirrored, quiet);
                continue;
            }
            float zero = start + (float) (room * -low / span);
            float end = start + (float) (room * (bar.value - low) / span);
            float half = rowHeight * 0.3f;
            barPaint.setColor(bar.color);
            box(canvas, Math.min(zero, end), Math.max(Math.max(zero, end), Math.min(zero, end) + gap / 4), middle, half, mirrored);
            float last = Math.max(zero, end);
            if (bar.reach > bar.value) {
                float reach = start + (float) (room * (bar.reach - low) / span);
                box(canvas, end, reach, middle, half * 0.25f, mirrored);
                last = Math.max(last, reach);
            }
            text(canvas, bar.text, last + gap, textWidth + 1, middle, mirrored, textPaint.getColor());
        }
    }

    private void box(Canvas canvas, float left, float right, float middle, float half, boolean mirrored) {
        shape.set(mirrored ? getWidth() - right : left, middle - half, mirrored ? getWidth() - left : right, middle + half);
        canvas.drawRoundRect(shape, gap / 3, gap / 3, barPaint);
    }

    private void text(Canvas canvas, String text, float x, float width, float middle, boolean mirrored, int color) {
        int usual = textPaint.getColor();
        String fitting = TextUtils.ellipsize(text, textPaint, width, TextUtils.TruncateAt.END).toString();
        float left = mirrored ? getWidth() - x - textPaint.measureText(fitting) : x;
        textPaint.setColor(color);
        canvas.drawText(fitting, left, middle - (textPaint.ascent() + textPaint.descent()) / 2, textPaint);
        textPaint.setColor(usual);
    }

    private float pixels(int unit, float value) {
        return TypedValue.applyDimension(unit, value, getResources().getDisplayMetrics());
    }
}

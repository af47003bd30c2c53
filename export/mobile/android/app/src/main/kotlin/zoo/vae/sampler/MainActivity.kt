package zoo.vae.sampler

import android.app.Activity
import android.graphics.Bitmap
import android.graphics.Color
import android.os.Bundle
import android.widget.Button
import android.widget.ImageView
import android.widget.LinearLayout
import zoo.vae.sampler.Sampler.Companion.BATCH
import zoo.vae.sampler.Sampler.Companion.CHANNELS
import zoo.vae.sampler.Sampler.Companion.HEIGHT
import zoo.vae.sampler.Sampler.Companion.WIDTH

private const val COLUMNS = 4

/** One picture, the images of a seed, and a button that goes on to the next seed. */
class MainActivity : Activity() {
    private lateinit var sampler: Sampler
    private var seed = 7

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        sampler = Sampler(assets)
        val picture = ImageView(this).apply { adjustViewBounds = true }
        val button = Button(this)
        fun show() {
            picture.setImageBitmap(grid(sampler.sample(seed)))
            button.text = "Seed $seed: next"
        }
        button.setOnClickListener {
            seed += 1
            show()
        }
        val column = LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            fitsSystemWindows = true
            addView(button)
            addView(picture, LinearLayout.LayoutParams(LinearLayout.LayoutParams.MATCH_PARENT, 0, 1f))
        }
        setContentView(column)
        show()
    }

    override fun onDestroy() {
        sampler.close()
        super.onDestroy()
    }

    private fun grid(values: FloatArray): Bitmap {
        val width = COLUMNS * WIDTH
        val height = BATCH / COLUMNS * HEIGHT
        val pixels = IntArray(width * height) { place ->
            val (y, x) = place / width to place % width
            val image = y / HEIGHT * COLUMNS + x / WIDTH
            val start = ((image * HEIGHT + y % HEIGHT) * WIDTH + x % WIDTH) * CHANNELS
            val (red, green, blue) = List(3) { values[start + minOf(it, CHANNELS - 1)] }
            Color.rgb(red, green, blue)
        }
        return Bitmap.createBitmap(pixels, width, height, Bitmap.Config.ARGB_8888)
    }
}

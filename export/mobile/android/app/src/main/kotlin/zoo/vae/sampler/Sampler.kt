package zoo.vae.sampler

import android.content.res.AssetManager
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel

private const val FILE = "model.tflite"
private const val SIGNATURE = "sample_16"
private const val SEED = "seed"
private const val IMAGE = "image"
private const val LATENT = "z"

/** Draws the images of a seed: row i of seed s is [s, i], on every platform the same image. */
class Sampler(assets: AssetManager) : AutoCloseable {
    private val model =
        CompiledModel.create(assets, FILE, CompiledModel.Options(Accelerator.CPU))
    private val seedBuffer = model.createInputBuffer(SEED, SIGNATURE)
    private val inputs = mapOf(SEED to seedBuffer)
    // A signature runs only with a buffer for each of its outputs.
    private val outputs =
        listOf(IMAGE, LATENT).associateWith { model.createOutputBuffer(it, SIGNATURE) }

    /** Returns [BATCH, HEIGHT, WIDTH, CHANNELS] values in [0, 1]. */
    fun sample(seed: Int): FloatArray {
        seedBuffer.writeInt(IntArray(2 * BATCH) { if (it % 2 == 0) seed else it / 2 })
        model.run(inputs, outputs, SIGNATURE)
        return outputs.getValue(IMAGE).readFloat()
    }

    override fun close() {
        (inputs.values + outputs.values).forEach { it.close() }
        model.close()
    }

    companion object {
        const val BATCH = 16
        const val HEIGHT = 28
        const val WIDTH = 28
        const val CHANNELS = 1
    }
}

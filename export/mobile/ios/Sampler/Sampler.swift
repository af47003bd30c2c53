import Foundation
import TensorFlowLite

/// Draws the images of a seed: row i of seed s is [s, i], on every platform the same image.
final class Sampler {
    static let batch = 16
    static let height = 28
    static let width = 28
    static let channels = 1

    private static let file = "model"
    private static let signature = "sample_16"
    private static let seed = "seed"
    private static let image = "image"

    private let runner: SignatureRunner

    init() throws {
        guard let path = Bundle.main.path(forResource: Self.file, ofType: "tflite") else {
            throw CocoaError(.fileNoSuchFile)
        }
        runner = try Interpreter(modelPath: path).signatureRunner(with: Self.signature)
    }

    /// Returns [batch, height, width, channels] values in [0, 1].
    func sample(seed: Int32) throws -> [Float] {
        let rows = (0..<Int32(Self.batch)).flatMap { [seed, $0] }
        try runner.invoke(with: [Self.seed: rows.withUnsafeBytes { Data($0) }])
        let data = try runner.output(named: Self.image).data
        return data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
}

import SwiftUI

@main
struct SamplerApp: App {
    var body: some Scene {
        WindowGroup { SamplerView() }
    }
}

/// One picture, the images of a seed, and a stepper that goes to the next seed.
struct SamplerView: View {
    @State private var seed: Int32 = 7
    @State private var sampler = Result { try Sampler() }

    var body: some View {
        VStack {
            Stepper("Seed \(seed)", value: $seed)
            switch Result(catching: { grid(try sampler.get().sample(seed: seed)) }) {
            case .success(let picture):
                Image(decorative: picture, scale: 1)
                    .resizable()
                    .interpolation(.none)
                    .scaledToFit()
            case .failure(let error):
                Text(error.localizedDescription)
            }
            Spacer()
        }
        .padding()
    }

    private func grid(_ values: [Float], columns: Int = 4) -> CGImage {
        let (height, width, channels) = (Sampler.height, Sampler.width, Sampler.channels)
        let size = CGSize(width: columns * width, height: Sampler.batch / columns * height)
        let renderer = UIGraphicsImageRenderer(size: size, format: .pixels)
        let picture = renderer.image { context in
            for place in 0..<(Sampler.batch * height * width) {
                let (image, y, x) = (place / (height * width), place / width % height, place % width)
                let color = (0..<3).map { CGFloat(values[place * channels + min($0, channels - 1)]) }
                UIColor(red: color[0], green: color[1], blue: color[2], alpha: 1).setFill()
                context.fill(CGRect(
                    x: image % columns * width + x, y: image / columns * height + y,
                    width: 1, height: 1))
            }
        }
        return picture.cgImage!
    }
}

extension UIGraphicsImageRendererFormat {
    /// One point is one pixel, whatever the screen.
    static var pixels: UIGraphicsImageRendererFormat {
        let format = UIGraphicsImageRendererFormat()
        format.scale = 1
        return format
    }
}

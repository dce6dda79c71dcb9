# Learns a noisy parabola, scores two points, samples, and hashes the parameters.
using Printf
using Relgrad

seed = 1
function uniform() # 0 to 1023, from a 31-bit generator
    global seed = seed * 16807 % 2147483647
    return seed ÷ 2097152
end

function point()
    t = (uniform() - 512) / 256
    return [t, t^2 + (uniform() + uniform() - 1024) / 1024]
end

x = Float32.(hcat((point() for _ in 1:2000)...))

model = Model(2, 4; optimizer = :natural, max_batch = 20, input_transform = true)
init!(model, x; start = :whitened, seed = 1)
for epoch in 1:20, i in 1:20:2000
    step!(model, view(x, :, i:i+19), 0.05)
end
refresh!(model)

@printf("mean log-likelihood %8.4f\n", foldl(+, logpdf(model, x)) / 2000)
@printf("log-density on the curve %8.4f, off it %8.4f\n", logpdf(model, Float32[1 1; 1 3])...)
@printf("a sample %8.4f %8.4f\n", rand(model, 1; seed = 7)...)

hash = foldl(reinterpret(UInt32, model.params); init = 0x811c9dc5) do hash, word
    (hash ⊻ word) * 0x01000193
end
@printf("parameters %08X\n", hash)

using Test, LinearAlgebra, Statistics, Random
using Relgrad

# Two moons.
function moons(T, n, seed)
    rng = MersenneTwister(seed)
    x = Matrix{T}(undef, 2, n)
    for i in 1:n
        t, up = pi * rand(rng), rand(rng, (-1, 1))
        x[:, i] = [up * cos(t) + (up < 0), up * sin(t) + (up < 0) / 2] .+ 0.2 .* (rand(rng, 2) .- 0.5)
    end
    return x
end

@testset "learns, $T" for T in (Float32, Float64)
    x = moons(T, 800, 1)
    gaussian = -1 - log(2pi) - logdet(cov(x')) / 2
    model = Model(T, 2, 12; optimizer = :natural, max_batch = 40, input_transform = true)
    @test init!(model, x; seed = 1) === model
    curve = fit!(model, x; rate = 0.1, epochs = 30, rng = MersenneTwister(1))
    @test length(curve) == 30 && curve[end] > curve[1]
    @test mean(logpdf(model, moons(T, 2000, 2))) > gaussian + 0.2
    z = encode(model, x)
    @test decode(model, z) ≈ x atol = (T === Float32 ? 1e-2 : 1e-9)
    @test size(rand(model, 100)) == (2, 100)
    @test rand(model, 100; seed = 3) == rand(model, 100; seed = 3)
    @test rand(model, 100; seed = 3)[:, 1:40] == rand(model, 40; seed = 3)
    @test rand(model, 100; seed = 3)[:, 35:99] == rand(model, 65; seed = 3, from = 35)
    @test allunique(eachcol(hcat((rand(model, 100; seed) for seed in 1:4)...)))
    @test logpdf(model, x[:, 1]) == logpdf(model, x)[1]
end

@testset "far from zero" begin
    x = moons(Float64, 800, 1)
    x[1, 7] = 50.0 # a fill value
    far = x .+ [1.7e9, 0.0]
    narrow, origin = center(far)
    @test eltype(narrow) === Float32 && abs(origin[1] - 1.7e9) < 2 && origin[2] == 0
    log_p = map((narrow, far)) do x
        model = Model(eltype(x), 2, 4; optimizer = :natural, max_batch = 40, input_transform = true)
        init!(model, x; seed = 1)
        fit!(model, x; rate = 0.05, epochs = 5, rng = MersenneTwister(1))
        logpdf(model, x)
    end
    @test log_p[1] ≈ log_p[2] atol = 0.1 * sqrt(800)
    @test center(far[:, 1:3], origin)[1] == narrow[:, 1:3]
    @test origin_of(x) == [0, 0] && origin_of(fill(2^24, 1, 9)) == [2^24]
end

@testset "independent weights" begin
    for (start, variance) in ((:uniform, 1 / 60), (:normal, 1 / 20))
        model = init!(Model(Float64, 20, 3); start, seed = 4)
        weights = reduce(vcat, vec(weight(model, k)) for k in 1:3)
        @test abs(sum(abs2, weights) / length(weights) - variance) < 0.2 * variance
        @test all(isfinite, logpdf(model, zeros(20, 1)))
    end
end

@testset "the formula, and what lies where" begin
    model = Model(Float64, 3, 2; activation = :leaky_tanh, activation_a = 1, activation_b = 0.1,
                  final_activation = false)
    init!(model; seed = 5)
    rng = MersenneTwister(1)
    model.params .+= randn(rng, length(model.params)) ./ 10
    refresh!(model)
    x = randn(rng, 3, 7)
    W1, W2 = weight(model, 1)', weight(model, 2)'
    y = W1 * x .+ bias(model, 1)
    z = W2 * (tanh.(y) .+ 0.1 .* y) .+ bias(model, 2)
    slopes = sech.(y) .^ 2 .+ 0.1
    log_p = vec(sum(-z .^ 2 ./ 2 .- log(2pi) / 2; dims = 1) .+ sum(log.(slopes); dims = 1))
    log_p .+= logabsdet(W1)[1] + logabsdet(W2)[1]
    @test logpdf(model, x) ≈ log_p rtol = 1e-12
    @test encode(model, x) ≈ z rtol = 1e-12
    @test Relgrad.log_det(model)[2] == 0
    g = input_gradient(model, x)
    for i in 1:3
        step = 1e-5 .* (1:3 .== i)
        slope = (logpdf(model, x .+ step) .- logpdf(model, x .- step)) ./ 2e-5
        @test g[i, :] ≈ slope rtol = 1e-7
    end
end

@testset "learned curves" begin
    model = Model(Float64, 2, 2; activation = :tanh_mixture, activation_a = 3, report_norms = true,
                  final_activation = false)
    init!(model; seed = 5)
    before = copy(model.params)
    @test step!(model, moons(Float64, 50, 1), 0.01).curve_gradient_norm > 0
    # Behind two layers of 4 weights and 2 biases: a slope and 3 (w, a, m) a unit.
    @test length(model.params) == 12 + 2 * (1 + 3 * 3)
    @test all(model.params[13:end] .!= before[13:end])
end

@testset "views are read in place" begin
    models = [init!(Model(2, 3; optimizer = :natural, max_batch = 8); seed = 1) for _ in 1:2]
    wide = zeros(Float32, 4, 16)
    wide[2:3, 1:2:16] = moons(Float32, 8, 1)
    part = view(wide, 2:3, 1:2:16)
    for _ in 1:5
        step!(models[1], part, 0.1)
        step!(models[2], copy(part), 0.1)
    end
    @test models[1].params == models[2].params
    @test Relgrad.steps(models[1]) == 5
    allocated = @allocated step!(models[1], part, 0.1)
    @test allocated < 2000 # the report and the batch, not data
end

@testset "collected garbage is never read" begin
    model = init!(Model(2, 2; max_batch = 4))
    reports = map(1:200) do i
        report = step!(model, moons(Float32, 4, i), 0.01)
        i % 20 == 0 && GC.gc()
        report
    end
    @test all(isfinite(r.mean_log_likelihood) for r in reports)
end

# One linear layer: the closed form, what is learned, samples, and the way back.
@testset "conditions, $T, $kind, $conditioned" for T in (Float32, Float64), kind in (:classes, :numbers),
                                                   conditioned in (:latents, :layers, :both)
    rng = MersenneTwister(2)
    noise, classes = randn(rng, 2, 2000), [1 + i % 3 for i in 1:2000]
    given = kind === :classes ? classes : T.(2 .* rand(rng, 1, 2000) .- 1)
    u = reshape(kind === :classes ? T.(classes .- 1) : given, 1, :)
    scale = conditioned === :layers ? one.(u) : exp.(-u)
    x = T.([1, 4] .+ [2, -1] .* u .+ noise .* scale)
    best = mean(sum(-noise .^ 2 ./ 2 .- log(2pi) / 2 .- log.(scale); dims = 1))
    model = Model(T, 2, 1; activation = :identity, optimizer = :natural, input_transform = true, max_batch = 50,
                  condition = kind, condition_len = kind === :classes ? 3 : 1, conditioned = conditioned)
    init!(model, x; seed = 1)
    for rate in (0.1, 0.03, 0.01)
        fit!(model, x; rate = rate, epochs = 8, rng = rng, condition = given)
    end
    refresh!(model)
    log_p = logpdf(model, x; condition = given)
    @test abs(mean(log_p) - best) < 0.03

    p = Float64.(model.params)
    count = kind === :classes ? 3 : 1
    lift = kind === :classes ? Float64.(classes' .== 1:3) : Float64.(u)
    tables = reshape(p[7:end-4], 2, count, :)
    z = Float64.(weight(model, 1)') * ((x .- p[end-3:end-2]) .* p[end-1:end]) .+ bias(model, 1)
    of_u = zero(log_p)
    conditioned === :latents || (z = z .+ tables[:, :, end] * lift)
    latents = z
    if conditioned !== :layers
        of_u = vec(sum(tables[:, :, 2] * lift; dims = 1))
        z = (z .- tables[:, :, 1] * lift) .* exp.(-tables[:, :, 2] * lift)
    end
    form = vec(sum(-z .^ 2 ./ 2 .- log(2pi) / 2; dims = 1)) .- of_u .+ sum(log.(abs.(p[end-1:end]))) .+
           logabsdet(Float64.(weight(model, 1)))[1]
    close = T === Float32 ? 1e-3 : 1e-10
    @test maximum(abs.(log_p .- form)) < close
    @test maximum(abs.(encode(model, x; condition = given) .- latents)) < close
    @test maximum(abs.(decode(model, T.(latents); condition = given) .- x)) < 10close
    g = input_gradient(model, x; condition = given)
    @test size(g) == size(x) && all(isfinite, g)
    first9 = kind === :classes ? given[1:9] : given[:, 1:9]
    @test length(gradient(model, x[:, 1:9]; condition = first9)) == length(p) - 4
    @test logpdf(model, x[:, 5]; condition = [given[5]]) == log_p[5]

    drawn = rand(model, 2000; seed = 3, condition = given)
    off = (drawn .- [1, 4] .- [2, -1] .* u) ./ scale
    @test all(abs.(mean(off; dims = 2)) .< 0.15) && all(abs.(std(off; dims = 2) .- 1) .< 0.15)
    some = kind === :classes ? given[71:90] : given[:, 71:90]
    @test rand(model, 20; seed = 3, from = 71, condition = some) == drawn[:, 71:90]

    e = try logpdf(model, x) catch e; e end
    @test e isa RelgradError && e.status == -33 && occursin("condition", e.text)
    e = try logpdf(model, x; condition = fill(NaN, 1, 2000)) catch e; e end
    @test e isa RelgradError && e.status == -33
    @test_throws DimensionMismatch step!(model, x[:, 1:3], 0.1; condition = ones(2, 3))
    @test_throws DimensionMismatch step!(model, x[:, 1:3], 0.1; condition = ones(1, 2))
end

@testset "an alarm over a stream that drifts" begin
    rng = MersenneTwister(4)
    for rate in (0.1, 0.01)
        rows = round(Int, 2000 / rate)
        alarm = Alarm(rate)
        @test alarm.memory == 20 / rate
        raised = [see!(alarm, -2i / rows - (2 + sin(10i / rows)) * randn(rng)^2 / 2) for i in 1:2rows]
        @test abs(mean(raised[rows+1:end]) / rate - 1) < 0.1
        @test alarm.rows == 2rows && alarm.raised == sum(raised)
        @test see!(alarm, -Inf) && !see!(alarm, alarm.mean)
    end
    e = try Alarm(0.7) catch e; e end
    @test e isa RelgradError && e.status == -25 && occursin("rate", e.text)
    alarm = Alarm(0.1)
    alarm.spread = NaN
    e = try see!(alarm, 0) catch e; e end
    @test e isa RelgradError && e.status == -50
    @test_throws RelgradError Model(2, 1; condition = :classes)
end

@testset "components, $T" for T in (Float32, Float64)
    rng = MersenneTwister(2)
    peaked = randn(rng, 1, 4000) .* rand(rng, (0.3, 2.0), 1, 4000)
    mixed_by = [2.0 1.0; 0.3 -1.0]
    x = T.(mixed_by * [3 .* rand(rng, 1, 4000); peaked] .+ [5, 0])
    found = ica(x; restarts = 3)
    p = abs.(found.unmixing * mixed_by) .* [3 / sqrt(12) std(peaked)]
    @test all(minimum(p, dims = 2) .< 0.1 .* maximum(p, dims = 2))
    @test found.unmixing * found.mixing ≈ [1 0; 0 1]
    s = encode(found, x)
    @test vec(std(s, dims = 2)) ≈ [1, 1] rtol = 1e-3
    @test decode(found, s) ≈ x rtol = 1e-5
    @test sort([c.kind for c in found.each]) == [0, 1] && all(c.stability > 0.99 for c in found.each)
    @test found.report.stop == 0 && found.report.gradient_norm < 1e-4
    @test ica(x; restarts = 3, threads = 2).unmixing == found.unmixing
    @test size(ica(x; components = 1, orthogonal = true).mixing) == (2, 1)
    e = try ica(x; components = 3) catch e; e end
    @test e isa RelgradError && e.status == -20 && occursin("components", e.text)
    @test_throws ArgumentError ica(x; density = :round)
end

@testset "a density of one's own" begin
    x = moons(Float64, 8, 1)
    normal(z, sample) = (-z^2 / 2 - log(2pi) / 2, -z)
    own = init!(Model(Float64, 2, 2; max_batch = 8, base = normal); seed = 1)
    builtin = init!(Model(Float64, 2, 2; max_batch = 8); seed = 1)
    for _ in 1:5
        a, b = step!(own, x, 0.01), step!(builtin, x, 0.01)
        @test a.mean_log_likelihood ≈ b.mean_log_likelihood
    end
    @test own.params ≈ builtin.params rtol = 1e-10
    seen = Int[]
    watching = init!(Model(2, 1; base = (z, sample) -> (push!(seen, sample); normal(z, sample))))
    step!(watching, moons(Float32, 3, 1), 0.01)
    @test sort(unique(seen)) == 1:3
    # Each latent may have one of its own.
    mixed(z, sample, component) = component == 1 ? (-z^2 / 2, -z) : (-abs(z), -sign(z))
    model = init!(Model(Float64, 2, 1; base = mixed, activation = :identity); start = :identity)
    @test logpdf(model, [1.0 0.5; -2.0 0.25]) ≈ [-0.5 - 2, -0.125 - 0.25]

    # What it throws arrives here; the model is as it was.
    failing = init!(Model(2, 1; base = (z, sample) -> error("not today")))
    before = copy(failing.params)
    @test_throws ErrorException("not today") step!(failing, moons(Float32, 3, 1), 0.01)
    @test failing.params == before
    @test_throws ErrorException step!(failing, moons(Float32, 3, 1), 0.01)
end

@testset "the same bits on Julia's tasks, $T" for T in (Float32, Float64)
    x = randn(MersenneTwister(1), T, 160, 40)
    fresh() = init!(Model(T, 160, 2; optimizer = :natural, max_batch = 40); seed = 1)
    same(a, b) = a.params == b.params && logpdf(a, x) == logpdf(b, x) &&
                 rand(a, 2; seed = 1) == rand(b, 2; seed = 1)
    alone, spawned, counted = fresh(), set_parallel!(fresh()), fresh()
    calls, parts = 0, zeros(Int, Threads.nthreads())
    function counting(run, count)
        calls += 1
        Threads.@threads for i in 1:count
            parts[Threads.threadid()] += 1
            run(i)
        end
    end
    @test set_parallel!(counted; threads = 3, parallel_for = counting) === counted
    for i in 1:4
        foreach(m -> step!(m, x, 0.1), (alone, spawned, counted))
        GC.gc()
    end
    @test UInt(pointer(alone.params)) % 64 == 0 # they are read faster there
    @test same(alone, spawned) && same(alone, counted)
    @test calls > 4 && sum(parts) > 2calls && all(parts .> 0)

    # With one thread it is left alone.
    before = calls
    set_parallel!(counted; threads = 1, parallel_for = counting)
    foreach(m -> step!(m, x, 0.1), (alone, counted))
    @test same(alone, counted) && calls == before

    # What it throws arrives, and the step is done.
    set_parallel!(counted; threads = 2, parallel_for = (run, count) -> (run(1); error("tired")))
    step!(alone, x, 0.1)
    @test_throws ErrorException("tired") step!(counted, x, 0.1)
    set_parallel!(counted)
    @test same(alone, counted)
    @test_throws RelgradError set_parallel!(counted; threads = 0)
    @test_throws RelgradError set_parallel!(counted; threads = 65)
end

@testset "errors" begin
    e = try Model(0, 2) catch e; e end
    @test e isa RelgradError && e.status == -20 && occursin("dim", sprint(showerror, e))
    model = Model(2, 2; max_batch = 4)
    @test_throws RelgradError logpdf(model, zeros(Float32, 2, 1))
    init!(model)
    e = try step!(model, fill(NaN32, 2, 2), 0.1) catch e; e end
    @test e isa RelgradError && e.status == -30
    @test_throws RelgradError step!(model, zeros(Float32, 2, 5), 0.1)
    @test_throws DimensionMismatch step!(model, zeros(Float32, 3, 2), 0.1)
    @test_throws DimensionMismatch step!(model, zeros(Float32, 2, 2), 0.1; weights = Float32[1])
    @test_throws MethodError step!(model, zeros(2, 2), 0.1)
    @test_throws ArgumentError Model(2, 2; optimizer = :newton)
    @test_throws ArgumentError Model(2, 2; colour = 1)
    @test_throws ArgumentError init!(model; start = :nowhere)
end

@testset "structures as in C" begin
    named = ["relgrad_config" => Relgrad.Config, "relgrad_sizes" => Relgrad.Sizes,
             "relgrad_batch" => Relgrad.Batch, "relgrad_report" => Relgrad.Report,
             "relgrad_refresh_report" => Relgrad.RefreshReport, "relgrad_alarm" => Relgrad.Alarm,
             "relgrad_ica" => Relgrad.IcaSettings, "relgrad_ica_report" => Relgrad.IcaReport,
             "relgrad_component" => Relgrad.Component]
    haskey(ENV, "RELGRAD_LAYOUT") || @warn "RELGRAD_LAYOUT is not set: structures not compared"
    lines = filter(!isempty, split(read(get(ENV, "RELGRAD_LAYOUT", "/dev/null"), String), "\n"))
    for (name, T) in named
        ours = ["$name $(sizeof(T))"; ["$name.$f $(fieldoffset(T, i))" for (i, f) in enumerate(fieldnames(T))]]
        theirs = filter(l -> startswith(l, name * " ") || startswith(l, name * "."), lines)
        isempty(lines) || @test sort(ours) == sort(theirs)
    end
end

@testset "a caught Rust panic does not end the process" begin
    if haskey(ENV, "RELGRAD_PANICS")
        library = Relgrad.dlopen(ENV["RELGRAD_PANICS"])
        @test ccall(Relgrad.dlsym(library, :other_catches), Cint, ()) == 7
    end
end

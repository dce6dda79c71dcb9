# Models that own their memory, as Julia code wants them.

"""
A refused call: `status` is the C function's, `text` says what is wrong and what is allowed.
"""
struct RelgradError <: Exception
    status::Int32
    text::String
end

Base.showerror(io::IO, e::RelgradError) = print(io, "RelgradError: ", e.text)

const CHOICES = Dict(
    :activation => (:smooth_leaky_relu, :leaky_tanh, :identity, :tanh_mixture, :bend),
    :base => (:normal, :sech, :logistic, :custom),
    :bias => (:none, :separate, :affine, :projected),
    :gradient => (:relative, :transposed, :ordinary),
    :optimizer => (:sgd, :adam, :natural),
    :crossing => (:guard, :allow),
    :log_det => (:exact, :lazy),
    :condition => (:none, :numbers, :classes),
    :conditioned => (:latents, :layers, :both),
    :level => (:auto, :scalar, :avx2, :avx512, :neon),
)
const STARTS = (:orthogonal, :identity, :whitened, :standardized, :aligned, :uniform, :normal)

function index_of(choices, name)
    i = findfirst(==(name), choices)
    i === nothing && throw(ArgumentError("$(repr(name)) is not one of $choices"))
    return UInt32(i - 1)
end

# Bytes that start at a multiple of ALIGNMENT, as long as the vector lives.
struct Memory
    bytes::Vector{UInt8}
    size::Int
    Memory(size) = new(zeros(UInt8, size + ALIGNMENT), size)
end
Base.pointer(m::Memory) = pointer(m.bytes) + mod(-Int(pointer(m.bytes)), ALIGNMENT)

"""
    Model([T = Float32], dim, layers; settings...)

An invertible network with its optimiser. Settings are the fields of `relgrad_config`, choices
as symbols: `optimizer = :natural`, `max_batch = 20`, `input_transform = true`. A function as
`base` is a density of your own: called as `base(z, sample, component)` for one latent number, with the
numbers of its sample in the batch and of the latent, both from 1, it returns its log-density and the
derivative of that. A function of `(z, sample)` alone does too.

With `condition = :numbers` or `:classes`, and their count as `condition_len`, the model is `p(x | u)`.
Calls then take `condition`: a matrix of u, a column for each sample, or a vector of classes, counted
from 1.
"""
mutable struct Model{T <: Union{Float32, Float64}}
    config::Config
    sizes::Sizes
    params::Vector{T}
    state::Memory
    workspace::Memory
    scratch::Memory
    factors::Memory
    factored::Bool
    density::Callback
    team::Callback
    context::Ptr{Cvoid}

    function Model{T}(dim::Integer, layers::Integer; base = :normal, settings...) where {T}
        config = Config()
        check(c_config_default(config, dim, layers))
        own = !(base isa Symbol)
        whole = own && !applicable(base, zero(T), 1, 1) ? (z, sample, _) -> base(z, sample) : base
        for (name, value) in (settings..., :base => own ? :custom : base)
            name in fieldnames(Config) || throw(ArgumentError("Config has no field $name"))
            value isa Symbol && (value = index_of(CHOICES[name], value))
            setfield!(config, name, convert(fieldtype(Config, name), value))
        end
        sizes = Sizes()
        status = c_query_sizes(T, config, sizes)
        status == 0 || throw(RelgradError(status, c_config_check(config)))
        model = new{T}(config, sizes, zeros(T, sizes.params_len), Memory(sizes.state_bytes),
                       Memory(sizes.workspace_bytes),
                       Memory(max(sizes.start_bytes, sizes.refresh_bytes)),
                       Memory(sizes.factorization_bytes), false,
                       Callback(own ? whole : nothing, nothing), Callback(nothing, nothing),
                       C_NULL)
        context = Ref{Ptr{Cvoid}}(C_NULL)
        GC.@preserve model check(c_init(T, config, pointer(model.state), sizes.state_bytes,
                                        pointer(model.workspace), sizes.workspace_bytes, context))
        model.context = context[]
        return model
    end
end

Model(dim::Integer, layers::Integer; settings...) = Model{Float32}(dim, layers; settings...)
Model(::Type{T}, dim::Integer, layers::Integer; settings...) where {T} =
    Model{T}(dim, layers; settings...)

Base.eltype(::Type{Model{T}}) where {T} = T
Base.length(m::Model) = Int(m.config.dim)
Base.show(io::IO, m::Model{T}) where {T} =
    print(io, "Model($T, $(Int(m.config.dim)), $(Int(m.config.layers)))")

function check(status)
    status == 0 && return nothing
    text = c_complaint()
    throw(RelgradError(status, isempty(text) ? c_status_string(status) : text))
end

"""
    see!(alarm, log_p)

Takes a sample's log-likelihood into account; whether it is an anomaly.
"""
function see!(alarm::Alarm, log_p::Real)
    raised = Ref{Cint}(0)
    check(c_alarm_see(alarm, log_p, raised))
    return raised[] == 1
end

# After a call on a model: what a callback threw goes on, errors become exceptions.
function check(m::Model{T}, status) where {T}
    for callback in (m.density, m.team)
        caught, callback.caught = callback.caught, nothing
        caught === nothing || throw(caught)
    end
    status == 0 && return nothing
    text = zeros(UInt8, 256)
    message = GC.@preserve m text begin
        c_message(T, m.context, text, length(text))
        unsafe_string(pointer(text))
    end
    throw(RelgradError(status, isempty(message) ? c_status_string(status) : message))
end

const Data{T} = StridedMatrix{T}

# Conditions of n samples as C reads them, or nothing: a matrix, whose columns are theirs. Classes count
# from 0 there.
function conditions(m::Model{T}, condition, n) where {T}
    condition === nothing && return Matrix{T}(undef, 0, n)
    classes = m.config.condition == index_of(CHOICES[:condition], :classes)
    u = condition isa AbstractVector ? reshape(condition, 1, :) : condition
    width = classes ? 1 : Int(m.config.condition_len)
    m.config.condition == 0 || size(u) == (width, n) ||
        throw(DimensionMismatch("conditions are $width numbers for each of $n samples"))
    return Matrix{T}(classes ? u .- 1 : u)
end

# Where those of some columns begin, and how many numbers they are.
given(u::Matrix{T}, columns) where {T} =
    isempty(u) ? (Ptr{T}(C_NULL), 0) :
    (pointer(u, size(u, 1) * (first(columns) - 1) + 1), size(u, 1) * length(columns))

# f on the batch of x's columns, all memory in it held. u is what `conditions` returns, for x alone.
function with_batch(f, m::Model{T}, x::Data{T}, u::Matrix{T}; weights = nothing) where {T}
    size(x, 1) == m.config.dim ||
        throw(DimensionMismatch("columns have $(size(x, 1)) numbers, the model $(length(m))"))
    stride(x, 1) == 1 || size(x, 1) == 1 || throw(ArgumentError("columns must be contiguous"))
    weights === nothing || (weights isa DenseVector{T} && length(weights) == size(x, 2)) ||
        throw(DimensionMismatch("weights are a vector of $T, one a column"))
    density = m.density
    GC.@preserve m x u weights density begin
        ld = size(x, 2) < 2 ? 0 : stride(x, 2)
        own = density.f !== nothing
        batch = Batch(pointer(x), size(x, 2), ld, weights === nothing ? C_NULL : pointer(weights),
                      own ? c_density(T) : C_NULL, own ? pointer_from_objref(density) : C_NULL, 0,
                      first(given(u, axes(x, 2))), 0)
        check(m, f(Ref(batch)))
    end
end
with_batch(f, m::Model, x; condition = nothing, weights = nothing) =
    with_batch(f, m, x, conditions(m, condition, size(x, 2)); weights = weights)

# The columns of x, at most max_batch at a time.
chunks(m::Model, x) = (i:min(i + Int(m.config.max_batch) - 1, size(x, 2))
                       for i in 1:Int(m.config.max_batch):size(x, 2))

"""
    init!(model; start = :orthogonal, seed = 0)
    init!(model, x; start = :whitened, seed = 0, ridge = 1e-6)

Starts the parameters: `:orthogonal`, `:identity`, or independent weights, `:uniform` or `:normal`, of
variance 1 / (3 D) and 1 / D; or from data `:whitened`, `:standardized` or `:aligned`.
"""
function init!(m::Model{T}; start::Symbol = :orthogonal, seed::Integer = 0) where {T}
    m.factored = false
    GC.@preserve m check(m, c_params_init(T, m.context, m.params, length(m.params),
                                          index_of(STARTS, start), seed))
    start in (:uniform, :normal) && refresh!(m)
    return m
end
function init!(m::Model{T}, x::Data{T}; start::Symbol = :whitened, seed::Integer = 0,
               ridge::Real = 1e-6) where {T}
    m.factored = false
    with_batch(m, x) do batch
        c_params_init_data(T, m.context, m.params, length(m.params), batch,
                           index_of(STARTS, start), seed, ridge, pointer(m.scratch),
                           m.sizes.start_bytes)
    end
    return m
end

"""
    origin_of(x)

What to take off `x` in `Float64` before its columns become samples of a `Float32` model: the
medians of the features that are farther from 0 than 512 times their spread, 0 for the others; all
0 if there is none. Medians and quantiles, so that a fill value moves nothing. Looks at 4096 samples
at most.
"""
function origin_of(x::AbstractMatrix{<:Real})
    n = size(x, 2)
    taken = min(n, 4096)
    chosen = [i * n ÷ taken + 1 for i in 0:taken-1]
    map(1:size(x, 1)) do feature
        sorted = sort!(Float64.(x[feature, chosen]))
        median, spread = sorted[taken ÷ 2 + 1], 0.0
        for share in (4, 10, 100, Inf)
            cut = min(floor(Int, taken / share), (taken - 1) ÷ 2)
            spread > 0 || (spread = sorted[taken - cut] - sorted[cut + 1])
        end
        far = spread > 0 ? abs(median) > 512 * spread : abs(median) >= 2.0^24
        far ? median : 0.0
    end
end

"""
    center(x, origin = origin_of(x))

`Float32.(x .- origin)`, the difference taken in `Float64`, and `origin`: time stamps, say, keep
digits that `Float32` has not. The origin belongs to the model: take it off everything that the
model is shown, and add it, in `Float64`, to what it samples and decodes.
"""
center(x::AbstractMatrix{<:Real}, origin::AbstractVector = origin_of(x)) =
    Float32.(Float64.(x) .- origin), origin

"""
    set_parallel!(model; threads = Threads.nthreads(), parallel_for = spawned)

Calls on `model` run their work in parts, as many as keep `threads` (1 to 64) busy, 1 for the
calling task alone. Results are the same bits. `parallel_for(run, count)` calls `run(i)` once for
each `i` in `1:count`, in any order, on any of Julia's threads, and returns when all have returned;
[`spawned`](@ref) spawns a task for each. What it throws arrives after the call, which was
completed without it.
"""
function set_parallel!(m::Model{T}; threads::Integer = min(Threads.nthreads(), 64),
                       parallel_for = spawned) where {T}
    GC.@preserve m check(m, c_set_parallel(T, m.context, pointer_from_objref(m.team), threads))
    m.team.f = parallel_for
    return m
end

"""
    spawned(run, count)

Runs `run(i)` for each `i` in `1:count` in a task of its own, on any of Julia's threads.
"""
function spawned(run, count)
    @sync for i in 1:count
        Threads.@spawn run(i)
    end
end

"""
    step!(model, x, rate; weights = nothing, condition = nothing)

One ascent step on the columns of `x`, at most `max_batch`; nothing changes if it is refused.
"""
function step!(m::Model{T}, x::Data{T}, rate::Real; weights = nothing, condition = nothing) where {T}
    report = Ref(Report())
    m.factored = false
    with_batch(m, x; weights = weights, condition = condition) do batch
        c_step(T, m.context, m.params, length(m.params), batch, rate, report)
    end
    return report[]
end

"""
    fit!(model, x; rate, epochs = 1, rng = Random.default_rng(), condition = nothing)

Steps on `max_batch` columns at a time, in random order. Returns the mean log-likelihood that the
steps of each epoch saw.
"""
function fit!(m::Model{T}, x::Data{T}; rate, epochs::Integer = 1,
              rng::AbstractRNG = Random.default_rng(), condition = nothing) where {T}
    batch = Matrix{T}(undef, size(x, 1), min(size(x, 2), Int(m.config.max_batch)))
    map(1:epochs) do _
        order = randperm(rng, size(x, 2))
        total = 0.0
        for columns in chunks(m, x)
            part = view(batch, :, 1:length(columns))
            part .= view(x, :, order[columns])
            some = condition === nothing ? nothing :
                   selectdim(condition, ndims(condition), order[columns])
            report = step!(m, part, rate; condition = some)
            total += report.mean_log_likelihood * length(columns)
        end
        total / size(x, 2)
    end
end

"""
    gradient(model, x; weights = nothing, condition = nothing)

The ascent direction on the columns of `x`, laid out as `model.params` without shift and scale.
"""
function gradient(m::Model{T}, x::Data{T}; weights = nothing, condition = nothing) where {T}
    out, report = Vector{T}(undef, m.sizes.gradient_len), Ref(Report())
    GC.@preserve out with_batch(m, x; weights = weights, condition = condition) do batch
        c_gradient(T, m.context, m.params, length(m.params), batch, out, length(out), report)
    end
    return out
end

"""
    refresh!(model)

Makes the log-determinants exact; call it after `model.params` was changed.
"""
function refresh!(m::Model{T}) where {T}
    report = Ref(RefreshReport())
    m.factored = false
    GC.@preserve m check(m, c_refresh(T, m.context, m.params, length(m.params),
                                      pointer(m.scratch), m.sizes.refresh_bytes, report))
    return report[]
end

"""
    logpdf(model, x; condition = nothing)

The exact log-density of every column, or of one vector, in nats.
"""
function logpdf(m::Model{T}, x::Data{T}; condition = nothing) where {T}
    u = conditions(m, condition, size(x, 2))
    log_p = Vector{Float64}(undef, size(x, 2))
    for columns in chunks(m, x)
        GC.@preserve log_p with_batch(m, view(x, :, columns), u[:, columns]) do batch
            c_log_likelihood(T, m.context, m.params, length(m.params), batch,
                             pointer(log_p, first(columns)), length(columns))
        end
    end
    return log_p
end
logpdf(m::Model{T}, x::DenseVector{T}; condition = nothing) where {T} =
    first(logpdf(m, reshape(x, :, 1); condition = condition))

"""
    input_gradient(model, x; condition = nothing)

The derivatives of the log-density by the features, a column for every column of `x`, for samplers.
"""
function input_gradient(m::Model{T}, x::Data{T}; condition = nothing) where {T}
    u = conditions(m, condition, size(x, 2))
    g = Matrix{T}(undef, size(x))
    for columns in chunks(m, x)
        GC.@preserve g with_batch(m, view(x, :, columns), u[:, columns]) do batch
            c_input_gradient(T, m.context, m.params, length(m.params), batch,
                             pointer(g, length(m) * (first(columns) - 1) + 1),
                             length(m) * length(columns))
        end
    end
    return g
end

"""
    encode(model, x; condition = nothing)

The latents of every column. They need a condition only where layers depend on it.
"""
function encode(m::Model{T}, x::Data{T}; condition = nothing) where {T}
    u = conditions(m, condition, size(x, 2))
    z = Matrix{T}(undef, size(x))
    for columns in chunks(m, x)
        GC.@preserve z with_batch(m, view(x, :, columns), u[:, columns]) do batch
            c_forward(T, m.context, m.params, length(m.params), batch,
                      pointer(z, length(m) * (first(columns) - 1) + 1), length(m) * length(columns))
        end
    end
    return z
end

"""
    decode(model, z; condition = nothing)

The data of every column of latents.
"""
function decode(m::Model{T}, z::Data{T}; condition = nothing) where {T}
    size(z, 1) == length(m) || throw(DimensionMismatch("latents have $(length(m)) numbers"))
    u = conditions(m, condition, size(z, 2))
    x, factors, dense = Matrix{T}(undef, size(z)), factorization(m), z isa DenseMatrix ? z : copy(z)
    for columns in chunks(m, dense)
        at, n = length(m) * (first(columns) - 1) + 1, length(m) * length(columns)
        GC.@preserve m x u dense check(m, c_inverse(T, m.context, m.params, length(m.params),
                                                    factors..., pointer(dense, at), n,
                                                    length(columns), given(u, columns)...,
                                                    pointer(x, at), n))
    end
    return x
end

"""
    rand([rng], model, n; seed = rand(rng, UInt64), from = 1, condition = nothing)

`n` samples, one a column: from number `from` on of those that belong to `seed`, which are the same
everywhere. With conditions, one for each.
"""
function Base.rand(rng::AbstractRNG, m::Model{T}, n::Integer;
                   seed::Integer = rand(rng, UInt64), from::Integer = 1,
                   condition = nothing) where {T}
    u = conditions(m, condition, n)
    x, factors = Matrix{T}(undef, length(m), n), factorization(m)
    for columns in chunks(m, x)
        at, len = length(m) * (first(columns) - 1) + 1, length(m) * length(columns)
        GC.@preserve m x u check(m, c_sample(T, m.context, m.params, length(m.params), factors...,
                                             seed % UInt64, from + first(columns) - 2,
                                             length(columns), given(u, columns)...,
                                             pointer(x, at), len))
    end
    return x
end
Base.rand(m::Model, n::Integer; settings...) = rand(Random.default_rng(), m, n; settings...)

# Pointer and size of factors that fit the parameters as they are.
function factorization(m::Model{T}) where {T}
    m.config.track_inverse == 1 && return C_NULL, 0
    if !m.factored
        GC.@preserve m check(m, c_factorize(T, m.context, m.params, length(m.params),
                                            pointer(m.factors), m.factors.size))
        m.factored = true
    end
    return pointer(m.factors), m.factors.size
end

# Where layer k lies in the parameters.
layer(m::Model, k) = (k - 1) * (length(m)^2 + (m.config.bias == 0 ? 0 : length(m)))

"""
    weight(model, k)

`W_k'` of layer `k` in place: column `i` holds the weights of output `i`.
"""
weight(m::Model, k::Integer) =
    reshape(view(m.params, layer(m, k) .+ (1:length(m)^2)), length(m), length(m))

"""
    bias(model, k)

`b_k` of layer `k` in place.
"""
bias(m::Model, k::Integer) =
    view(m.params, layer(m, k) + length(m)^2 .+ (1:(m.config.bias == 0 ? 0 : length(m))))

steps(m::Model{T}) where {T} =
    (n = Ref{UInt64}(0); GC.@preserve m check(m, c_steps(T, m.context, n)); Int(n[]))

"""
    log_det(model)

The log-determinant as last known, and the steps since it was exact.
"""
function log_det(m::Model{T}) where {T}
    value, age = Ref(0.0), Ref{UInt64}(0)
    GC.@preserve m check(m, c_log_det(T, m.context, value, age))
    return value[], Int(age[])
end

# The C ABI of relgrad.h. Every ccall is in this file.

using Libdl

const ABI_VERSION = UInt32(1)
const ALIGNMENT = 64

# RELGRAD_LIBRARY if it is set, else the system's.
const library = Ref{Ptr{Cvoid}}(C_NULL)
const symbols = Dict{Symbol, Ptr{Cvoid}}()

function open_library()
    library[] = dlopen(get(ENV, "RELGRAD_LIBRARY", "librelgrad.so.$ABI_VERSION"))
    status = ccall(symbol(:relgrad_abi_check), Cint, (UInt32,), ABI_VERSION)
    status == 0 || error("librelgrad has another ABI than version $ABI_VERSION")
end

symbol(name::Symbol) = get!(() -> dlsym(library[], name), symbols, name)

# The structures, as in the header: each begins with its size.

mutable struct Config
    struct_size::UInt32
    dim::UInt32
    layers::UInt32
    max_batch::UInt32
    activation::UInt32
    final_activation::UInt32
    base::UInt32
    bias::UInt32
    input_transform::UInt32
    gradient::UInt32
    optimizer::UInt32
    crossing::UInt32
    log_det::UInt32
    track_inverse::UInt32
    report_norms::UInt32
    level::UInt32
    activation_a::Float64
    activation_b::Float64
    momentum::Float64
    beta1::Float64
    beta2::Float64
    epsilon::Float64
    decay::Float64
    damping::Float64
    clip::Float64
    curve_rate::Float64
    condition::UInt32
    condition_len::UInt32
    conditioned::UInt32
    reserved::UInt32
    condition_rate::Float64
    Config() = new(sizeof(Config))
end

mutable struct Sizes
    struct_size::UInt32
    reserved::UInt32
    params_len::Csize_t
    gradient_len::Csize_t
    factors_len::Csize_t
    state_bytes::Csize_t
    workspace_bytes::Csize_t
    refresh_bytes::Csize_t
    start_bytes::Csize_t
    factorization_bytes::Csize_t
    Sizes() = new(sizeof(Sizes), 0)
end

struct Batch
    struct_size::UInt32
    reserved::UInt32
    x::Ptr{Cvoid}
    rows::Csize_t
    ld::Csize_t
    weights::Ptr{Cvoid}
    base::Ptr{Cvoid}
    user::Ptr{Cvoid}
    whole::Csize_t
    condition::Ptr{Cvoid}
    condition_ld::Csize_t
    Batch(fields...) = new(sizeof(Batch), 0, fields...)
end

"""
What a step saw and did; likelihoods are means over the batch before the step, in nats.
"""
struct Report
    struct_size::UInt32
    halvings::UInt32
    mean_log_likelihood::Float64
    base_density::Float64
    log_slopes::Float64
    log_det::Float64
    log_det_age::UInt64
    relative_gradient_norm::Float64
    mean_delta_norm::Float64
    trust_scale::Float64
    curve_gradient_norm::Float64
    Report() = new(sizeof(Report), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
end

struct RefreshReport
    struct_size::UInt32
    reserved::UInt32
    log_det::Float64
    drift::Float64
    inverse_error::Float64
    RefreshReport() = new(sizeof(RefreshReport), 0, 0, 0, 0)
end

"""
    Alarm(rate, memory = 20 / rate)

Anomalies of a stream: a threshold on log-likelihoods that a promised share `rate` of the samples
falls below, also after process and model have changed. It catches up with a change within about `memory`
samples. Score a sample, [`see!`](@ref) its log-likelihood, then learn from it.
"""
mutable struct Alarm
    struct_size::UInt32
    reserved::UInt32
    rate::Float64
    memory::Float64
    rows::UInt64
    raised::UInt64
    threshold::Float64
    mean::Float64
    spread::Float64
    function Alarm(rate::Real, memory::Real = 20 / rate)
        alarm = new(sizeof(Alarm), 0)
        check(c_alarm_start(alarm, rate, memory))
        return alarm
    end
end

mutable struct IcaSettings
    struct_size::UInt32
    features::UInt32
    components::UInt32
    density::UInt32
    orthogonal::UInt32
    restarts::UInt32
    iterations::UInt32
    level::UInt32
    seed::UInt64
    tolerance::Float64
    IcaSettings() = new(sizeof(IcaSettings))
end

"How [`ica`](@ref) went; `gradient_norm` is 0 at a maximum."
struct IcaReport
    struct_size::UInt32
    stop::UInt32
    iterations::UInt64
    log_likelihood::Float64
    gradient_norm::Float64
    IcaReport() = new(sizeof(IcaReport), 0, 0, 0, 0)
end

"One component of [`ica`](@ref)."
struct Component
    struct_size::UInt32
    kind::UInt32
    gaussian::UInt32
    reserved::UInt32
    explained::Float64
    kurtosis::Float64
    stability::Float64
    scale::Float64
    Component() = new(sizeof(Component), 0, 0, 0, 0, 0, 0, 0)
end

# What both precisions share.

c_version() = unsafe_string(ccall(symbol(:relgrad_version_string), Cstring, ()))
c_status_string(status) =
    unsafe_string(ccall(symbol(:relgrad_status_string), Cstring, (Cint,), status))
c_config_default(config, dim, layers) =
    ccall(symbol(:relgrad_config_default), Cint, (Ref{Config}, UInt32, UInt32), config, dim, layers)

c_alarm_start(alarm, rate, memory) =
    ccall(symbol(:relgrad_alarm_start), Cint, (Ref{Alarm}, Cdouble, Cdouble), alarm, rate, memory)
c_alarm_see(alarm, log_p, raised) =
    ccall(symbol(:relgrad_alarm_see), Cint, (Ref{Alarm}, Cdouble, Ref{Cint}), alarm, log_p, raised)

c_ica_default(settings, features) =
    ccall(symbol(:relgrad_ica_default), Cint, (Ref{IcaSettings}, UInt32), settings, features)
for (T, name) in ((Float32, :relgrad_ica_fit), (Float64, :relgrad_ica_fit_f64))
    @eval c_ica_fit(settings, x::Matrix{$T}, pool, unmixing, mixing, mean, each, report) =
        ccall(symbol($(QuoteNode(name))), Cint,
              (Ref{IcaSettings}, Ptr{$T}, Csize_t, Ptr{Cvoid}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64},
               Ptr{Component}, Ref{IcaReport}),
              settings, x, size(x, 2), pool, unmixing, mixing, mean, each, report)
end
c_pool_new(threads, pool) =
    ccall(symbol(:relgrad_pool_new), Cint, (UInt32, Ref{Ptr{Cvoid}}), threads, pool)
c_pool_free(pool) = ccall(symbol(:relgrad_pool_free), Cint, (Ptr{Cvoid},), pool)

# Why this thread's last call was refused, of those without a model.
function c_complaint()
    text = zeros(UInt8, 256)
    ccall(symbol(:relgrad_message), Cint, (Ptr{Cvoid}, Ptr{UInt8}, Csize_t), C_NULL, text, 256)
    return GC.@preserve text unsafe_string(pointer(text))
end

function c_config_check(config)
    text = zeros(UInt8, 256)
    ccall(symbol(:relgrad_config_check), Cint, (Ref{Config}, Ptr{UInt8}, Csize_t), config, text, 256)
    return GC.@preserve text unsafe_string(pointer(text))
end

# A function of the caller's, and what it threw: an exception must not pass through C.
mutable struct Callback
    f::Any
    caught::Any
end

function call_density(user::Ptr{Cvoid}, sample::Csize_t, z::Ptr{T}, log_density::Ptr{T},
                      score::Ptr{T}, dim::Csize_t)::Cint where {T}
    density = unsafe_pointer_to_objref(user)::Callback
    try
        for i in 1:dim
            p, s = density.f(unsafe_load(z, i), Int(sample) + 1, Int(i))
            unsafe_store!(log_density, T(p), i)
            unsafe_store!(score, T(s), i)
        end
    catch e
        density.caught = e
        return Cint(1)
    end
    return Cint(0)
end

c_density(::Type{Float32}) =
    @cfunction(call_density, Cint, (Ptr{Cvoid}, Csize_t, Ptr{Float32}, Ptr{Float32}, Ptr{Float32}, Csize_t))
c_density(::Type{Float64}) =
    @cfunction(call_density, Cint, (Ptr{Cvoid}, Csize_t, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Csize_t))

# Not to be interrupted: the task's memory is C's, and gone when this returns.
function call_parallel_for(user::Ptr{Cvoid}, run::Ptr{Cvoid}, task::Ptr{Cvoid},
                           count::Csize_t)::Cvoid
    team = unsafe_pointer_to_objref(user)::Callback
    try
        disable_sigint() do
            team.f(i -> ccall(run, Cvoid, (Ptr{Cvoid}, Csize_t), task, i - 1), Int(count))
        end
    catch e
        team.caught = e
    end
    return nothing
end

c_parallel_for() =
    @cfunction(call_parallel_for, Cvoid, (Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Csize_t))

# What comes in single and in double. Pointers are those of arrays that the caller preserves.

for (T, suffix) in ((Float32, ""), (Float64, "_f64"))
    name(f) = QuoteNode(Symbol("relgrad_", f, suffix))
    @eval begin
        c_query_sizes(::Type{$T}, config, sizes) =
            ccall(symbol($(name("query_sizes"))), Cint, (Ref{Config}, Ref{Sizes}), config, sizes)
        c_init(::Type{$T}, config, state, state_bytes, workspace, workspace_bytes, context) =
            ccall(symbol($(name("init"))), Cint,
                  (Ref{Config}, Ptr{Cvoid}, Csize_t, Ptr{Cvoid}, Csize_t, Ref{Ptr{Cvoid}}),
                  config, state, state_bytes, workspace, workspace_bytes, context)
        c_message(::Type{$T}, context, text, len) =
            ccall(symbol($(name("message"))), Cint, (Ptr{Cvoid}, Ptr{UInt8}, Csize_t),
                  context, text, len)
        c_params_init(::Type{$T}, context, p, n, start, seed) =
            ccall(symbol($(name("params_init"))), Cint,
                  (Ptr{Cvoid}, Ptr{$T}, Csize_t, UInt32, UInt64), context, p, n, start, seed)
        c_params_init_data(::Type{$T}, context, p, n, batch, start, seed, ridge, scratch, bytes) =
            ccall(symbol($(name("params_init_data"))), Cint,
                  (Ptr{Cvoid}, Ptr{$T}, Csize_t, Ref{Batch}, UInt32, UInt64, Cdouble, Ptr{Cvoid},
                   Csize_t), context, p, n, batch, start, seed, ridge, scratch, bytes)
        c_refresh(::Type{$T}, context, p, n, scratch, bytes, report) =
            ccall(symbol($(name("refresh"))), Cint,
                  (Ptr{Cvoid}, Ptr{$T}, Csize_t, Ptr{Cvoid}, Csize_t, Ref{RefreshReport}),
                  context, p, n, scratch, bytes, report)
        c_log_det(::Type{$T}, context, value, age) =
            ccall(symbol($(name("log_det"))), Cint, (Ptr{Cvoid}, Ref{Cdouble}, Ref{UInt64}),
                  context, value, age)
        c_steps(::Type{$T}, context, steps) =
            ccall(symbol($(name("steps"))), Cint, (Ptr{Cvoid}, Ref{UInt64}), context, steps)
        c_set_parallel(::Type{$T}, context, user, threads) =
            ccall(symbol($(name("set_parallel"))), Cint,
                  (Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, UInt32),
                  context, c_parallel_for(), user, threads)
        c_step(::Type{$T}, context, p, n, batch, rate, report) =
            ccall(symbol($(name("step"))), Cint,
                  (Ptr{Cvoid}, Ptr{$T}, Csize_t, Ref{Batch}, Cdouble, Ref{Report}),
                  context, p, n, batch, rate, report)
        c_gradient(::Type{$T}, context, p, n, batch, gradient, len, report) =
            ccall(symbol($(name("gradient"))), Cint,
                  (Ptr{Cvoid}, Ptr{$T}, Csize_t, Ref{Batch}, Ptr{$T}, Csize_t, Ref{Report}),
                  context, p, n, batch, gradient, len, report)
        c_forward(::Type{$T}, context, p, n, batch, z, len) =
            ccall(symbol($(name("forward"))), Cint,
                  (Ptr{Cvoid}, Ptr{$T}, Csize_t, Ref{Batch}, Ptr{$T}, Csize_t),
                  context, p, n, batch, z, len)
        c_log_likelihood(::Type{$T}, context, p, n, batch, log_p, len) =
            ccall(symbol($(name("log_likelihood"))), Cint,
                  (Ptr{Cvoid}, Ptr{$T}, Csize_t, Ref{Batch}, Ptr{Cdouble}, Csize_t),
                  context, p, n, batch, log_p, len)
        c_input_gradient(::Type{$T}, context, p, n, batch, gradient, len) =
            ccall(symbol($(name("input_gradient"))), Cint,
                  (Ptr{Cvoid}, Ptr{$T}, Csize_t, Ref{Batch}, Ptr{$T}, Csize_t, Ptr{Cdouble}, Csize_t),
                  context, p, n, batch, gradient, len, C_NULL, 0)
        c_factorize(::Type{$T}, context, p, n, factors, bytes) =
            ccall(symbol($(name("factorize"))), Cint,
                  (Ptr{Cvoid}, Ptr{$T}, Csize_t, Ptr{Cvoid}, Csize_t), context, p, n, factors, bytes)
        c_inverse(::Type{$T}, context, p, n, factors, bytes, z, z_len, rows, given, given_len, x,
                  x_len) =
            ccall(symbol($(name("inverse_given"))), Cint,
                  (Ptr{Cvoid}, Ptr{$T}, Csize_t, Ptr{Cvoid}, Csize_t, Ptr{$T}, Csize_t, Csize_t,
                   Ptr{$T}, Csize_t, Ptr{$T}, Csize_t, Ptr{Cvoid}),
                  context, p, n, factors, bytes, z, z_len, rows, given, given_len, x, x_len, C_NULL)
        c_sample(::Type{$T}, context, p, n, factors, bytes, seed, first_row, rows, given, given_len,
                 x, x_len) =
            ccall(symbol($(name("sample_given"))), Cint,
                  (Ptr{Cvoid}, Ptr{$T}, Csize_t, Ptr{Cvoid}, Csize_t, UInt64, UInt64, Csize_t,
                   Ptr{$T}, Csize_t, Ptr{$T}, Csize_t, Ptr{Cvoid}),
                  context, p, n, factors, bytes, seed, first_row, rows, given, given_len, x, x_len,
                  C_NULL)
    end
end

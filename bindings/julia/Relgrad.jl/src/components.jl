# Linear independent component analysis.

const DENSITIES = (:extended, :super, :sub, :sech, :logistic)

"""
What [`ica`](@ref) found: `unmixing` (components, features), `mixing` (features, components), the
features' `mean`, a [`Component`](@ref) `each`, and a `report`. Sources have variance 1, the one that explains
most of the data comes first.
"""
struct Components
    unmixing::Matrix{Float64}
    mixing::Matrix{Float64}
    mean::Vector{Float64}
    each::Vector{Component}
    report::IcaReport
end

Base.show(io::IO, c::Components) =
    print(io, "Components($(length(c.each)) of $(length(c.mean)) features)")

"""
    ica(x; components = size(x, 1), density = :extended, orthogonal = false, restarts = 1, ...)

Linear ICA by maximum likelihood of the columns of `x`. `density` is `:extended`, which takes each source for
peaked or flat as the data have it, `:super`, `:sub`, `:sech` or `:logistic`. Of several `restarts` the likeliest
solution is kept, and each component's `stability` says how well the others find it. `seed`, `iterations`
and `tolerance` are those of a start. `threads` are the library's own; the bits do not depend on them.

`encode(found, x)` gives the sources, `decode(found, s)` the data of sources.
"""
function ica(x::Matrix{T}; components::Integer = size(x, 1), density::Symbol = :extended,
             orthogonal::Bool = false, restarts::Integer = 1, seed::Integer = 1,
             iterations::Integer = 500, tolerance::Real = 1e-7,
             threads::Integer = 1) where {T <: Union{Float32, Float64}}
    settings, features = IcaSettings(), size(x, 1)
    check(c_ica_default(settings, features))
    components > 0 || throw(ArgumentError("components must be at least 1"))
    settings.components, settings.density = components, index_of(DENSITIES, density)
    settings.orthogonal, settings.restarts = orthogonal, restarts
    settings.seed, settings.iterations, settings.tolerance = seed, iterations, tolerance
    # C's rows are columns here.
    unmixing, mixing = zeros(features, components), zeros(components, features)
    mean, each, report = zeros(features), [Component() for _ in 1:components], Ref(IcaReport())
    pool = Ref{Ptr{Cvoid}}(C_NULL)
    threads == 1 || check(c_pool_new(threads, pool))
    try
        check(c_ica_fit(settings, x, pool[], unmixing, mixing, mean, each, report))
    finally
        c_pool_free(pool[])
    end
    return Components(permutedims(unmixing), permutedims(mixing), mean, each, report[])
end

encode(c::Components, x::AbstractMatrix) = c.unmixing * (x .- c.mean)
decode(c::Components, s::AbstractMatrix) = c.mixing * s .+ c.mean

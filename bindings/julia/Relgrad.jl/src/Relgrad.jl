"""
Invertible networks trained by exact maximum likelihood with relative gradients.

A column is a sample. Data are read where they lie, views of whole columns too. A layer's weight
read as a Julia matrix is `W'`: see [`weight`](@ref).

    model = Model(2, 4; optimizer = :natural, max_batch = 20, input_transform = true)
    init!(model, x; start = :whitened, seed = 1)
    fit!(model, x; rate = 0.05, epochs = 20)
    logpdf(model, x); rand(model, 100); encode(model, x); decode(model, z)
"""
module Relgrad

using Random

export Model, RelgradError, init!, fit!, step!, refresh!, set_parallel!, logpdf, input_gradient, encode, decode, gradient,
       weight, bias, origin_of, center, Alarm, see!, ica, Components

include("library.jl")
include("model.jl")
include("components.jl")

__init__() = (empty!(symbols); open_library())

end

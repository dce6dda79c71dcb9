# Evaluates build_tarballs.jl without BinaryBuilder, which needs Julia's package registry: the part
# of its interface that the recipe uses, with the types, platforms and refusals of BinaryBuilder
# 0.6.6. Prints the build script.
#
#   julia recipe.jl build_tarballs.jl

module BinaryBuilder

export GitSource, LibraryProduct, FileProduct, Dependency, arch, libc, supported_platforms,
       build_tarballs

struct Platform
    arch::String
    os::String
    libc::String
end
arch(p::Platform) = p.arch
libc(p::Platform) = p.libc
Base.Sys.iswindows(p::Platform) = p.os == "windows"

supported_platforms() = [
    [Platform(a, "linux", "glibc")
     for a in ("i686", "x86_64", "aarch64", "armv6l", "armv7l", "powerpc64le", "riscv64")];
    [Platform(a, "linux", "musl") for a in ("i686", "x86_64", "aarch64", "armv6l", "armv7l")];
    [Platform(a, os, "") for os in ("macos", "freebsd") for a in ("x86_64", "aarch64")];
    [Platform(a, "windows", "") for a in ("i686", "x86_64")];
]

abstract type AbstractSource end
struct GitSource <: AbstractSource
    url::String
    hash::String
    function GitSource(url::String, hash::String)
        occursin(r"^[0-9a-f]{40}$", hash) || error("$hash is not a commit")
        return new(url, hash)
    end
end

abstract type Product end
struct LibraryProduct <: Product
    name::String
    variable::Symbol
    function LibraryProduct(name::String, variable::Symbol)
        isdefined(Base, variable) && error("Base has a $variable")
        return new(name, variable)
    end
end
struct FileProduct <: Product
    path::String
    variable::Symbol
end
struct Dependency
    name::String
end

const RUST = v"1.97.0" # what it compiles with unless told otherwise

function build_tarballs(args, name::String, version::VersionNumber,
                        sources::Vector{<:AbstractSource}, script::String,
                        platforms::Vector{Platform}, products::Vector{<:Product},
                        dependencies::Vector{Dependency}; julia_compat::String,
                        compilers::Vector{Symbol})
    Base.isidentifier(name) || error("$name is not an identifier")
    isempty(version.prerelease) && isempty(version.build) || error("$version is no release")
    newer(p) = arch(p) in ("armv6l", "riscv64") || (p.os == "freebsd" && arch(p) == "aarch64")
    !any(newer, platforms) || VersionNumber(julia_compat) >= v"1.6" ||
        error("Julia $julia_compat does not know all platforms")
    any(p -> Sys.iswindows(p) && arch(p) == "i686", platforms) && error("no Rust for this Windows")
    issubset(compilers, (:c, :rust, :go)) || error("no such compilers: $compilers")
    manifest = read(joinpath(@__DIR__, "..", "..", "Cargo.toml"), String)
    stated(key) = VersionNumber(match(Regex("^$key = \"(.*)\"", "m"), manifest)[1])
    stated("version") == version || error("the crate's version is $(stated("version"))")
    stated("rust-version") <= RUST || error("BinaryBuilder has Rust $RUST")
    print(script)
end

end

recipe = abspath(popfirst!(ARGS))
ENV["RELGRAD_REPOSITORY"] = "https://example.org/relgrad.git"
ENV["RELGRAD_COMMIT"] = "0123456789abcdef0123456789abcdef01234567"
# `using BinaryBuilder` takes the module above.
text = replace(read(recipe, String), r"^using BinaryBuilder"m => "using .BinaryBuilder")
include_string(Main, text, recipe)

using System.Text.Json.Serialization;

namespace Archipelago.Vlmcd.Control;

/// <summary>A volume as whoever changes it is answered.</summary>
/// <param name="Name">Name.</param>
/// <param name="Size">Bytes.</param>
/// <param name="ObjectSize">Bytes of an object.</param>
/// <param name="Closed">Of a close: for what it was open, <c>write</c>, <c>read</c> or <c>standby</c>.</param>
public sealed record VolumeState(string Name, ulong Size, int ObjectSize, string? Closed = null);

/// <summary>The body of <c>POST /v1/volumes</c>.</summary>
/// <param name="Name">Name.</param>
/// <param name="Size">Bytes, a positive multiple of 512; 0 for that of the snapshot that is cloned.</param>
/// <param name="ObjectSize">Bytes of an object, or null for the configured size.</param>
/// <param name="From">Snapshot to clone, <c>volume@snapshot</c>; null for a blank volume.</param>
public sealed record VolumeCreate(string? Name, ulong Size, int? ObjectSize = null, string? From = null);

/// <summary>The body of <c>PUT /v1/volumes/NAME</c>: one of its members says what to do.</summary>
/// <param name="Size">The new size in bytes.</param>
/// <param name="Name">The new name.</param>
/// <param name="Snapshot">A snapshot to make.</param>
/// <param name="Rollback">A snapshot to go back to.</param>
/// <param name="Flatten">Copy what is shared with the snapshot that it was cloned from.</param>
/// <param name="Open">Open it without a gateway, <c>write</c>, <c>read</c> or <c>standby</c> (where another host has it: to be taken over with the first change), until it is closed or vlmcd ends.</param>
/// <param name="Close">End such an open, or what a vlmcd that died has left open.</param>
public sealed record VolumeChange(
    ulong? Size = null, string? Name = null, string? Snapshot = null, string? Rollback = null, bool Flatten = false, string? Open = null, bool Close = false)
{
    /// <summary>How many things it asks for.</summary>
    internal int Asked => new[] { Size != null, Name != null, Snapshot != null, Rollback != null, Flatten, Open != null, Close }.Count(asked => asked);
}

/// <summary>A volume or snapshot that gateways of this host have open.</summary>
/// <param name="Name">Name.</param>
/// <param name="Openers">Opens.</param>
/// <param name="ReadOnly">Only for reading.</param>
/// <param name="Standby">Another host has it; the first change here takes it over.</param>
/// <param name="Own">Of the opens those without a gateway, by <c>volume open</c>.</param>
public sealed record OpenVolume(string Name, int Openers, bool ReadOnly, bool Standby = false, int Own = 0);

/// <summary>The section of vlmcd in <c>GET /v1/status</c>, and the answer of <c>GET /v1/vlmcd</c>.</summary>
/// <param name="Open">What is open.</param>
public sealed record VlmcdStatus(IReadOnlyList<OpenVolume> Open);

/// <summary>Serializers of vlmcd's control plane, made at compile time.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(VolumeState))]
[JsonSerializable(typeof(VolumeCreate))]
[JsonSerializable(typeof(VolumeChange))]
[JsonSerializable(typeof(VlmcdStatus))]
public sealed partial class VlmcdJson : JsonSerializerContext;

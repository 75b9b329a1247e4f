using System.Text.Json.Serialization;

namespace Archipelago.Vlmcd.Control;

/// <summary>A volume as the control plane shows it.</summary>
/// <param name="Name">Name.</param>
/// <param name="Size">Bytes.</param>
/// <param name="ObjectSize">Bytes of an object.</param>
/// <param name="CreatedAt">Creation, UTC.</param>
/// <param name="Openers">Opens by gateways of this host.</param>
/// <param name="State"><c>ok</c>, <c>trimming</c> (what a shrink cut off is being deleted) or <c>damaged</c>.</param>
/// <param name="Fault">What is wrong with a damaged one.</param>
public sealed record VolumeInfo(
    string Name, ulong Size, int ObjectSize, DateTimeOffset? CreatedAt, int Openers, string State, string? Fault = null);

/// <summary>The answer of <c>GET /v1/volumes</c>.</summary>
/// <param name="Volumes">Sorted by name.</param>
public sealed record VolumeList(IReadOnlyList<VolumeInfo> Volumes);

/// <summary>The body of <c>POST /v1/volumes</c>.</summary>
/// <param name="Name">Name.</param>
/// <param name="Size">Bytes, a positive multiple of 512.</param>
/// <param name="ObjectSize">Bytes of an object, or null for the configured size.</param>
public sealed record VolumeCreate(string? Name, ulong Size, int? ObjectSize = null);

/// <summary>The body of <c>PUT /v1/volumes/NAME</c>.</summary>
/// <param name="Size">The new size in bytes.</param>
public sealed record VolumeResize(ulong Size);

/// <summary>The section of vlmcd in <c>GET /v1/status</c>.</summary>
/// <param name="Volumes">Volumes in the catalogue.</param>
/// <param name="Loaded">Volumes in use.</param>
/// <param name="Deletions">Deletions that go on in the background.</param>
/// <param name="DamagedRecords">Records of the catalogue that are left alone, with the reason.</param>
/// <param name="DamagedHeaders">Volumes whose header cannot be used, with the reason.</param>
public sealed record VlmcdStatus(
    int Volumes, int Loaded, int Deletions, IReadOnlyList<string> DamagedRecords, IReadOnlyList<string> DamagedHeaders);

/// <summary>Serializers of vlmcd's control plane, made at compile time.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(VolumeList))]
[JsonSerializable(typeof(VolumeInfo))]
[JsonSerializable(typeof(VolumeCreate))]
[JsonSerializable(typeof(VolumeResize))]
[JsonSerializable(typeof(VlmcdStatus))]
public sealed partial class VlmcdJson : JsonSerializerContext;

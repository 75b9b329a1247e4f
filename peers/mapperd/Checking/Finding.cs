namespace Archipelago.Mapperd.Checking;

/// <summary>What puts a finding right without a guess.</summary>
internal enum Repair
{
    /// <summary>Nothing here can.</summary>
    None,
    /// <summary>The catalogue's record becomes what the header says.</summary>
    Record,
    /// <summary>A second record of the same volume goes.</summary>
    Duplicate,
    /// <summary>The deletion of a volume whose header says that it is deleted goes on.</summary>
    Deletion,
    /// <summary>The name of a volume is written again.</summary>
    Name,
    /// <summary>A name that its volume does not have is freed.</summary>
    StaleName,
    /// <summary>A damaged name, which no header claims, is freed.</summary>
    BadName,
    /// <summary>A volume without a header is given up, if an operator says so: it is no repair, and what is found is told whoever has the lock.</summary>
    GiveUp,
}

/// <summary>
/// Something in the store that does not agree with the rest. Two looks have found the same if all of this is equal: so it names what led there (numbers,
/// generations, layers), which a change gives anew.
/// </summary>
/// <param name="Volume">Volume or volume@snapshot; empty if it is of none that is known.</param>
/// <param name="Object">The object of the store.</param>
/// <param name="What">What is wrong with it.</param>
/// <param name="Advice">What to do.</param>
internal sealed record Finding(string Volume, string Object, string What, string Advice)
{
    /// <summary>First byte of the volume that cannot be reached because of it; null if it costs none.</summary>
    internal ulong? Offset { get; init; }
    /// <summary>Bytes from there on.</summary>
    internal ulong? Length { get; init; }
    /// <summary>Two objects disagree that one change writes one after the other: only while nobody is at the volume it is a fault.</summary>
    internal Repair Repair { get; init; }
    /// <summary>Volume that a repair is about.</summary>
    internal ulong Id { get; init; }

    /// <summary>What a refusal says of an object, behind its name.</summary>
    internal static string WhatOf(string message, string name) => message[(message.IndexOf(name, StringComparison.Ordinal) + name.Length)..].TrimStart(',', ' ');
}

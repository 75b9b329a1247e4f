using System.Globalization;
using System.Text.RegularExpressions;
using Archipelago.Cli.CommandLine;
using Archipelago.Mapperd.Control;

namespace Archipelago.Cli.Commands.Volumes;

/// <summary>Says in words who has the lock of a volume, and how long.</summary>
internal static partial class LockText
{
    /// <summary>One line; empty for none.</summary>
    internal static string Of(LockInfo? state) => state switch
    {
        null => "",
        { State: "free" } => "free",
        { State: "unknown" } => $"unknown: {state.Fault}",
        _ => (state.State switch
        {
            "open" => state.Kept ? "this host has it open, and keeps it (`volume lock`)" : "this host has it open",
            "kept" => "kept by this host (`volume lock`)",
            "busy" => "this host is at work on it",
            "lost" => $"LOST while it was open here: what is written to it here fails with ESTALE, close it; now {(state.Owner is null ? "nobody has it" : "another host has it")}",
            _ => "another host has it",
        }) + (state.Owner is { } owner ? $": {Holder(owner)}" : "") + (state.Since is { } since ? $", since {Time(since)}" : "") + (state.Renewed is { } renewed ? $", last sign of life {Time(renewed)}" : "")
            + Lease(state) + (state.Epoch is { } epoch ? $", epoch {epoch}" : ""),
    };

    /// <summary>mapperd's default says <c>HOST pid N</c>; what else a configuration says stays as it is.</summary>
    private static string Holder(string owner) => OwnerOf().Match(owner) is { Success: true } match ? $"host {match.Groups[1].Value}, process {match.Groups[2].Value}" : owner;

    /// <summary>By the clocks of two hosts, where another one holds it.</summary>
    private static string Lease(LockInfo state)
    {
        if (state.LeaseSeconds is not { } lease) return "";
        string text = $", lease {Invocation.Number(lease, "0.#")} s";
        if (state.Renewed is not { } renewed) return text;
        var end = renewed.AddSeconds(lease);
        return text + (end > DateTimeOffset.UtcNow ? $", which ends at {Time(end)} unless it is renewed" : $", which ran out at {Time(end)}: another host may take the lock");
    }

    [GeneratedRegex("^([^ ]+) pid ([0-9]+)$")]
    private static partial Regex OwnerOf();

    private static string Time(DateTimeOffset at) => at.ToString("u", CultureInfo.InvariantCulture);
}

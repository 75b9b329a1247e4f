using System.Diagnostics;
using Xunit;

namespace Archipelago.Xseg.Tests.Native;

/// <summary>
/// Tests that start processes run alone: between fork and exec a child shares its parent's locks, so that a peer that another test
/// kills at that instant would seem to live a little longer.
/// </summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class StartsProcesses
{
    internal const string Name = "starts processes";
}

/// <summary>Programs of <c>tests/cpeer</c>, compiled against <c>xseg.h</c> with the system's C compiler.</summary>
internal static class CProgram
{
    private static readonly Lock s_gate = new();

    /// <summary>Compiles NAME.c, once, with all warnings as errors; returns the executable.</summary>
    internal static string Compile(string name)
    {
        lock (s_gate)
        {
            string output = Path.Combine(AppContext.BaseDirectory, name + ".out"), source = Path.Combine(AppContext.BaseDirectory, "cpeer", name + ".c");
            if (File.Exists(output)) File.Delete(output);
            var (code, text) = Run(Environment.GetEnvironmentVariable("CC") ?? "cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2", "-I", Path.Combine(AppContext.BaseDirectory, "include"), "-o", output, source);
            return code == 0 ? output : throw new InvalidOperationException($"cc {source}: {text}");
        }
    }

    internal static Process Start(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        return Process.Start(start)!;
    }

    internal static (int Code, string Output) Run(string program, params string[] arguments)
    {
        using var process = Start(program, arguments);
        var error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd() + error.Result;
        process.WaitForExit();
        return (process.ExitCode, output);
    }
}

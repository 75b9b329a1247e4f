using System.Diagnostics;

namespace Archipelago.Experiments.Processes;

/// <summary>Other programs that are run to their end.</summary>
internal static class Tool
{
    /// <summary>What the program printed on stdout.</summary>
    /// <exception cref="ExperimentException">It cannot be started, or failed.</exception>
    internal static string Output(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        try
        {
            using var process = Process.Start(start)!;
            var errors = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? output
                : throw new ExperimentException($"{program} {string.Join(' ', arguments)}: exit code {process.ExitCode}: {errors.Result.Trim()} {output.Trim()}");
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new ExperimentException($"{program}: {e.Message}; bench/run.sh installs what is needed");
        }
    }

    /// <summary>True if the program runs to a good end.</summary>
    internal static bool Succeeds(string program, params string[] arguments)
    {
        try
        {
            Output(program, arguments);
            return true;
        }
        catch (ExperimentException)
        {
            return false;
        }
    }
}

/// <summary>An experiment cannot be made; the message is for the user.</summary>
internal sealed class ExperimentException(string message) : Exception(message);

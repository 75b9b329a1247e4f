using System.Diagnostics;

namespace Archipelago.Nbd.Tests;

/// <summary>Runs a real NBD client. It must be installed: the packages are in the project's list.</summary>
internal static class Tool
{
    internal static async Task<(int Code, string Output)> TryRun(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        try
        {
            await process.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            Assert.Fail($"{program} {string.Join(' ', arguments)} hangs: {await output}{await error}");
        }

        return (process.ExitCode, await output + await error);
    }

    internal static async Task<string> Run(string program, params string[] arguments)
    {
        var (code, output) = await TryRun(program, arguments);
        Assert.True(code == 0, $"{program} {string.Join(' ', arguments)} ended with {code}: {output}");
        return output;
    }
}

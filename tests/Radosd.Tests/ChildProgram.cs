using System.Diagnostics;
using Archipelago.Librados.Tests;

namespace Archipelago.Radosd.Tests;

/// <summary>A radosd in a process of its own, which tests kill: this same assembly, run as a program.</summary>
public static class ChildProgram
{
    public static int Main(string[] arguments)
    {
        if (arguments is not [var segment, var conf, var ns, var state]) return 2;
        using var host = new RadosdHost(segment, new RadosdOptions { CephConf = conf, Pool = DevCluster.Pool, Namespace = ns, State = state });
        Console.WriteLine("ready");
        // Until it is killed, or until the parent is gone.
        while (Console.Read() >= 0)
        {
        }

        return 0;
    }

    /// <summary>Starts it; returns when it serves.</summary>
    public static Process Start(Place place)
    {
        var info = new ProcessStartInfo("dotnet")
        {
            ArgumentList = { typeof(ChildProgram).Assembly.Location, place.SegmentPath, place.Options.CephConf, place.Options.Namespace, place.Options.State },
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        var process = Process.Start(info)!;
        if (process.StandardOutput.ReadLine() != "ready") throw new InvalidOperationException("the child radosd did not start");
        return process;
    }
}

using Archipelago.Bench;
using Archipelago.Runtime;
using Archipelago.Runtime.Scheduling;

namespace Archipelago.Cli.Daemon;

/// <summary>A reactor on a thread of its own, which may be pinned to a core.</summary>
internal sealed class ReactorThread : IDisposable
{
    private readonly Thread _thread;
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal ReactorThread(ReactorOptions options, int core)
    {
        Reactor = new Reactor(options);
        _thread = new Thread(() => Run(core)) { Name = options.Name };
        _thread.Start();
    }

    internal Reactor Reactor { get; }

    /// <summary>Done once the thread runs where it should.</summary>
    internal Task Ready => _ready.Task;

    /// <summary>Whether a reactor's thread could be pinned to this core.</summary>
    internal static bool CanPin(int core)
    {
        bool can = true;
        // On a thread that ends: the caller's stays where it is.
        var trial = new Thread(() =>
        {
            try
            {
                ThreadCpu.Pin(core);
            }
            catch (ErrnoException)
            {
                can = false;
            }
        });
        trial.Start();
        trial.Join();
        return can;
    }

    public void Dispose()
    {
        Reactor.Stop();
        _thread.Join();
        Reactor.Dispose();
    }

    private void Run(int core)
    {
        try
        {
            if (core >= 0) ThreadCpu.Pin(core);
            _ready.SetResult();
        }
        catch (Exception e)
        {
            _ready.SetException(e);
        }

        Reactor.Run();
    }
}

# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_rtmfp_global_optspecs
    string join \n v/verbose version h/help
end

function __fish_rtmfp_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_rtmfp_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_rtmfp_using_subcommand
    set -l cmd (__fish_rtmfp_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c rtmfp -n "__fish_rtmfp_needs_command" -s v -l verbose -d 'Log more: -v what happens to each client, -vv details, -vvv everything'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -l version -d 'Print the version'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -f -a "publish" -d 'Publish a stream in real time: an FLV file, or frames made up'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -f -a "play" -d 'Play a stream, count what arrives and keep it if asked to'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -f -a "measure" -d 'Publish a stream, play it back, and tell how long each frame took'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -f -a "compare" -d 'Compare two FLV files message by message'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -f -a "impair" -d 'Stand between two programs and make their network bad'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -l clip -d 'Publish this FLV file, paced by its timestamps' -r -F
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -l duration -d 'Without --clip: how long to publish frames that are made up' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -l bitrate -d 'Without --clip: how much video, in kbit/s' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -l streams -d 'Publish this many streams at once; their names get -0, -1 and so on appended' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -l timeout -d 'Give up when the server has not answered for so long, or nothing arrives any more' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -l json -d 'Print the result as one line of JSON'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -s v -l verbose -d 'Log more: -v what happens to each client, -vv details, -vvv everything'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand play" -l out -d 'Write what arrives to this FLV file' -r -F
complete -c rtmfp -n "__fish_rtmfp_using_subcommand play" -l count -d 'Stop after so many audio and video messages' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand play" -l duration -d 'Stop so long after the first message' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand play" -l timeout -d 'Give up when the server has not answered for so long, or nothing arrives any more' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand play" -l json -d 'Print the result as one line of JSON'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand play" -s v -l verbose -d 'Log more: -v what happens to each client, -vv details, -vvv everything'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand play" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand measure" -l clip -d 'Publish this FLV file, paced by its timestamps' -r -F
complete -c rtmfp -n "__fish_rtmfp_using_subcommand measure" -l duration -d 'Without --clip: how long to publish frames that are made up' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand measure" -l bitrate -d 'Without --clip: how much video, in kbit/s' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand measure" -l timeout -d 'Give up when the server has not answered for so long, or nothing arrives any more' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand measure" -l json -d 'Print the result as one line of JSON'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand measure" -s v -l verbose -d 'Log more: -v what happens to each client, -vv details, -vvv everything'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand measure" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand compare" -l json -d 'Print the result as one line of JSON'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand compare" -s v -l verbose -d 'Log more: -v what happens to each client, -vv details, -vvv everything'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand compare" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l udp -d 'Carry datagrams: [IP:]PORT=HOST:PORT, such as 1935=server.example:1935. Can be given several times' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l tcp -d 'Carry TCP connections, in the same way. Can be given several times' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l delay -d 'Time on the wire, such as 40ms; \'40ms 5ms\' with jitter' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l jitter -d 'Added to the delay: anything from zero to this. It does not change the order' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l loss -d 'How many datagrams are lost, such as 2%; \'2% 8\' in bursts of 8 on average' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l duplicate -d 'How many datagrams arrive twice' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l reorder -d 'How many datagrams are held back so that others overtake them, such as 1%; \'1% 20ms\' says for how long' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l rate -d 'Bits per second that pass, such as 2mbit; all clients of a route share them' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l queue -d 'What may wait for the rate, in bytes or as time, such as 64kb or 100ms (default: 200ms)' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l ce -d 'Mark ECN-capable datagrams "congestion experienced" when so much waits, such as 30kb or 20ms; 0 marks all' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l mtu -d 'Longest datagram that passes, in bytes of UDP payload' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l corrupt -d 'How many datagrams have bytes changed' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l truncate -d 'How many datagrams lose their end' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l up -d 'What is done upwards only, in words, such as \'loss=2%,delay=40ms\' or \'loss 2% rate 1mbit queue 60kb\'' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l down -d 'What is done downwards only' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l at -d 'Change something at a time after the start, such as --at 10s \'loss 20%\'. Can be given several times' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l schedule -d 'Read such changes from a file, one "TIME WHAT" a line; "#" begins a comment' -r -F
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l seed -d 'Throw the same dice as another run. Without it the seed is printed at the start' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l stats -d 'Print what happened so far every so often, such as 1s' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l max-clients -d 'UDP clients, and as many TCP clients, at a time' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l idle-timeout -d 'Forget a UDP client from and to whom nothing came for so long' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l max-memory -d 'Bytes of datagrams on their way, and about as many of TCP; more datagrams are dropped and counted' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l bleach -d 'Clear ECN marks, as some routers do'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -l json -d 'Print what happened as JSON, one line each time'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -s v -l verbose -d 'Log more: -v what happens to each client, -vv details, -vvv everything'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand impair" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand help; and not __fish_seen_subcommand_from publish play measure compare impair help" -f -a "publish" -d 'Publish a stream in real time: an FLV file, or frames made up'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand help; and not __fish_seen_subcommand_from publish play measure compare impair help" -f -a "play" -d 'Play a stream, count what arrives and keep it if asked to'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand help; and not __fish_seen_subcommand_from publish play measure compare impair help" -f -a "measure" -d 'Publish a stream, play it back, and tell how long each frame took'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand help; and not __fish_seen_subcommand_from publish play measure compare impair help" -f -a "compare" -d 'Compare two FLV files message by message'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand help; and not __fish_seen_subcommand_from publish play measure compare impair help" -f -a "impair" -d 'Stand between two programs and make their network bad'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand help; and not __fish_seen_subcommand_from publish play measure compare impair help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
